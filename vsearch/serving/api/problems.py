import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vsearch.data.photos import PhotoError
from vsearch.indexes.base import IndexUnavailable
from vsearch.search.filters.columns import FilterError
from vsearch.search.query_by_example import ExampleError
from vsearch.serving.messages import Problem

MEDIA_TYPE = "application/problem+json"
NO_FILE = "This is text; send a file (with curl, -F photo=@shoe.jpg: mind the @)."
SHOWN = 5  # errors of a message that are told
logger = logging.getLogger(__name__)


class Busy(Exception):
    """As much is waiting as may wait. Ask again later."""


def problem(
    status: int,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as RFC 9457 has it; any text is allowed in it, lone surrogates too."""
    made = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id
    )
    text = json.dumps(made.model_dump(), ensure_ascii=True)
    return Response(text, status, headers, media_type=MEDIA_TYPE)


def described(description: str) -> dict[str, Any]:
    """Return an error as OpenAPI describes it."""
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }


def handle(app: FastAPI, retry_after_s: int) -> None:
    """Make an app answer each error that a request may cause as a problem."""

    def answer(
        request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        return problem(status, detail, request.scope.get("request_id"), headers)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(request, error.status_code, _detail(error), error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        whole = any(one["loc"] == ("body",) for one in error.errors())
        if whole and "json" not in request.headers.get("content-type", "").lower():
            return answer(
                request, 422, "Send JSON, with the header Content-Type: application/json."
            )
        return answer(request, 422, _told(error))

    async def bad(request: Request, error: Exception) -> Response:
        return answer(request, 422, str(error).removeprefix("<bytes>: "))

    async def busy(request: Request, error: Exception) -> Response:
        return answer(request, 503, str(error), {"Retry-After": str(retry_after_s)})

    async def unanswered(request: Request, error: Exception) -> Response:
        logger.error(f"the index engine: {error}")  # where it is, is nobody's business outside
        return answer(
            request,
            503,
            "The index can't be asked now. Try again later.",
            {"Retry-After": str(retry_after_s)},
        )

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (PhotoError, FilterError, ExampleError):
        app.add_exception_handler(kind, bad)
    app.add_exception_handler(Busy, busy)
    app.add_exception_handler(IndexUnavailable, unanswered)


def _detail(error: HTTPException) -> str:
    """Return what is wrong, where the router says no more than the status does."""
    detail = str(error.detail)
    if detail != HTTPStatus(error.status_code).phrase:
        return detail
    if error.status_code == 404:
        return "Nothing is offered at this path: /docs shows what there is."
    allowed = (error.headers or {}).get("Allow")
    return f"This path takes {allowed}: /docs shows what for." if allowed else detail


def _told(error: RequestValidationError) -> str:
    """Return what is wrong where, without repeating what was sent."""
    found = [
        f"{'.'.join(map(str, one['loc']))}: {NO_FILE if 'UploadFile' in one['msg'] else one['msg']}"
        for one in error.errors()
    ]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join([*found[:SHOWN], *more])
