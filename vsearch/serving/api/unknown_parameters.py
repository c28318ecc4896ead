from collections import Counter
from collections.abc import Iterable
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

FORM = "multipart/form-data"


async def refuse_unknown(request: Request) -> None:
    """Refuse query parameters and form fields that a route doesn't describe or that come twice.

    Otherwise they would be ignored, even a misspelt filter.
    """
    manual = request.app.openapi()
    route = manual["paths"][request.scope["route"].path_format][request.method.lower()]
    parameters = route.get("parameters", [])
    known = [one["name"] for one in parameters if one["in"] == "query"]
    _check("query", request.query_params.multi_items(), known)

    form: dict[str, Any] = route.get("requestBody", {}).get("content", {}).get(FORM)
    if form:
        name = form["schema"]["$ref"].rsplit("/", 1)[-1]
        fields = manual["components"]["schemas"][name]["properties"]
        _check("form", (await request.form()).multi_items(), list(fields))


def _check(where: str, given: Iterable[tuple[str, Any]], known: list[str]) -> None:
    counts = Counter(name for name, _ in given)
    unknown = [name[:50] for name in counts if name not in known]
    if unknown:
        names = ", ".join(map(repr, unknown[:5]))
        there_are = ", ".join(known) or "none"
        raise HTTPException(422, f"{where}: unknown {names}; known are {there_are}.")
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise HTTPException(422, f"{where}: {', '.join(map(repr, repeated))} more than once.")
