import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from tempfile import gettempdir
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
SHOWN = 5  # errors shown in a message
logger = logging.getLogger(__name__)


class Busy(Exception):
    """Too many requests are waiting."""


def problem(
    status: int,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the format of RFC 9457; any text is allowed, even lone surrogates."""
    made = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id
    )
    return Response(json.dumps(made.model_dump()), status, headers, media_type=MEDIA_TYPE)


def described(description: str) -> dict[str, Any]:
    """Return an error as OpenAPI describes it."""
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }


def handle(app: FastAPI) -> None:
    """Make an app answer every error that a request may cause with a problem."""
    mistakes = (HTTPException, RequestValidationError, PhotoError, FilterError, ExampleError)
    for kind in (*mistakes, Busy, IndexUnavailable):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    request_id = request.state.request_id
    later = {"Retry-After": str(request.app.state.service.settings.retry_after_s)}
    match error:
        case HTTPException(status_code=400, __cause__=OSError() as cause):  # while a body was read
            logger.error(f"an upload can't be kept in {gettempdir()}: {cause}")
            detail = "The service has no room for the upload now. Try again later."
            return problem(503, detail, request_id, later)
        case HTTPException():
            return problem(error.status_code, _detail(error), request_id, error.headers)
        case RequestValidationError():
            return problem(422, _invalid(request, error), request_id)
        case Busy():
            return problem(503, str(error), request_id, later)
        case IndexUnavailable():
            logger.error(f"the vector store: {error}")  # clients needn't know its address
            detail = "The index can't be reached now. Try again later."
            return problem(503, detail, request_id, later)
        case _:
            return problem(422, str(error).removeprefix("<bytes>: "), request_id)


def _detail(error: HTTPException) -> str:
    """Return the detail; if the router gives only the status, explain it."""
    detail = str(error.detail)
    if detail != HTTPStatus(error.status_code).phrase:
        return detail
    if error.status_code == 404:
        return "There is nothing at this path: see /docs."
    allowed = (error.headers or {}).get("Allow")
    return f"This path takes {allowed}: see /docs." if allowed else detail


def _invalid(request: Request, error: RequestValidationError) -> str:
    whole_body = any(one["loc"] == ("body",) for one in error.errors())
    if whole_body and "json" not in request.headers.get("content-type", "").lower():
        return "Send JSON, with the header Content-Type: application/json."
    return _mistakes(error)


def _mistakes(error: RequestValidationError) -> str:
    """Return the mistakes and their places, without repeating what was sent."""
    found = []
    for one in error.errors():
        field = ".".join(map(str, one["loc"]))
        found.append(f"{field}: {NO_FILE if 'UploadFile' in one['msg'] else one['msg']}")
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    return "; ".join(found)
