from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import ValidationError

from vsearch.serving.messages import Problem

Reply = TypeVar("Reply")
SHOWN = 5  # errors shown in a message
BUSY = (429, 502, 503, 504)  # 502 and 504: from a proxy whose service is starting


class ServiceError(Exception):
    """The service did not give a usable answer; the message says why."""

    retry_after_s: float | None = None


class Unreachable(ServiceError):
    """Nothing answers there, or the connection broke."""


class TooSlow(ServiceError):
    """No answer within the client's time limit."""


class Unexpected(ServiceError):
    """The answer isn't from a vsearch service, or from another version."""


class Refused(ServiceError):
    """The service refused, or would refuse, so nothing was sent; the message says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Busy(Refused):
    """Too many requests, or not ready: try again after the seconds that it gives."""

    def __init__(self, problem: Problem, retry_after_s: float | None) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


def of_connection(error: httpx.TransportError, url: str) -> ServiceError:
    """Return the ServiceError for an error of the connection."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return TooSlow(f"{url} did not answer in time.")
    return Unreachable(f"{url} can't be reached: {error}")


def read(response: httpx.Response, reader: Callable[[bytes], Reply], url: str) -> Reply:
    """Return the reply in a good answer, or raise a Refused or Unexpected."""
    if not response.is_success:
        raise _refusal(response)
    try:
        return reader(response.content)
    except ValidationError as error:
        what = "no vsearch service, or one of another version"
        raise Unexpected(f"What answers at {url} is {what}.") from error


def unfit(error: ValidationError) -> Refused:
    """Return the error for an invalid message, which the service would refuse."""
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    detail = "; ".join(found[:SHOWN])
    return Refused(Problem(title="Unprocessable Entity", status=422, detail=detail))


def _refusal(response: httpx.Response) -> Refused:
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # of a proxy in front of the service
        title = response.reason_phrase
        detail = f"HTTP status {status} {title}".strip()
        problem = Problem(title=title, status=status, detail=detail)
    if status in BUSY:
        return Busy(problem, _retry_after_s(response.headers.get("Retry-After", "")))
    return Refused(problem)


def _retry_after_s(text: str) -> float | None:
    """Return the seconds in Retry-After, which is a number or a date (RFC 9110)."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
