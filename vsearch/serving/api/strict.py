from collections import Counter
from collections.abc import Iterable
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

FORM = "multipart/form-data"


async def only_known(request: Request) -> None:
    """Refuse what a route's description doesn't name, or what comes twice, in the query or in a
    form: it would be lost.

    Raises:
        HTTPException: 422, with what there is.
    """
    description = request.app.openapi()
    route = description["paths"][request.scope["route"].path_format][request.method.lower()]
    names = [one["name"] for one in route.get("parameters", []) if one["in"] == "query"]
    _check("query", request.query_params.multi_items(), names)
    form: dict[str, Any] = route.get("requestBody", {}).get("content", {}).get(FORM)
    if form:
        body = description["components"]["schemas"][form["schema"]["$ref"].rsplit("/", 1)[-1]]
        _check("form", (await request.form()).multi_items(), [*body["properties"]])


def _check(where: str, given: Iterable[tuple[str, Any]], known: list[str]) -> None:
    counts = Counter(name for name, _ in given)
    unknown = [name[:50] for name in counts if name not in known]
    if unknown:
        names = ", ".join(map(repr, unknown[:5]))
        raise HTTPException(
            422, f"{where}: nothing is called {names}; there are {', '.join(known) or 'none'}."
        )
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise HTTPException(422, f"{where}: {', '.join(map(repr, repeated))} more than once.")
