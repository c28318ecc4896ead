from collections.abc import Iterable
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

FORM = "multipart/form-data"


async def only_known(request: Request) -> None:
    """Refuse what a route's description doesn't name, in the query or in a form: else a misspelt wish would be lost.

    Raises:
        HTTPException: 422, with what there is.
    """
    description = request.app.openapi()
    route = description["paths"][request.scope["route"].path_format][request.method.lower()]
    names = [one["name"] for one in route.get("parameters", []) if one["in"] == "query"]
    _check("query", request.query_params, names)
    form: dict[str, Any] = route.get("requestBody", {}).get("content", {}).get(FORM)
    if form:
        body = description["components"]["schemas"][form["schema"]["$ref"].rsplit("/", 1)[-1]]
        _check("form", await request.form(), [*body["properties"]])


def _check(where: str, given: Iterable[str], known: list[str]) -> None:
    unknown = [name[:50] for name in given if name not in known]
    if unknown:
        names = ", ".join(map(repr, unknown[:5]))
        raise HTTPException(422, f"{where}: nothing is called {names}; there are {', '.join(known) or 'none'}.")
