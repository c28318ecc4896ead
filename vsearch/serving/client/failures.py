from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from vsearch.serving.messages import Problem

Reply = TypeVar("Reply", bound=BaseModel)
SHOWN = 5  # errors of a message that are told


class ServiceError(Exception):
    """The service did not answer as wished; the message says why."""

    retry_after_s: float | None = None


class Unreachable(ServiceError):
    """Nothing answers there, or the connection broke."""


class TooSlow(ServiceError):
    """No answer within the client's time limit."""


class Unexpected(ServiceError):
    """The answer is not a service's, or that of another version."""


class Refused(ServiceError):
    """The service says no, or would, so that nothing was sent; the message is the problem's detail.

    Attributes:
        problem: what it said.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Busy(Refused):
    """Too many requests, or not ready: try again later.

    Attributes:
        retry_after_s: seconds to wait, if the service said so.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


BUSY = (429, 502, 503, 504)  # 502 and 504: from a proxy whose service is starting


def of_exception(error: httpx.HTTPError, url: str) -> ServiceError:
    """Return what an error of the connection means."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return TooSlow(f"{url} did not answer in time.")
    return Unreachable(f"{url} can't be reached: {error}")


def checked(response: httpx.Response) -> httpx.Response:
    """Return a good answer as it is.

    Raises:
        Refused: its status is none of 200 to 299.
    """
    if response.is_success:
        return response
    raise of_response(response)


def of_response(response: httpx.Response) -> Refused:
    """Return what an answer with a status of 400 or more means, be it the service's own or a
    proxy's in front of it.
    """
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(
            title=response.reason_phrase, status=response.status_code, detail=_words(response)
        )
    if response.status_code in BUSY:
        return Busy(problem, retry_after_s(response.headers.get("Retry-After", "")))
    return Refused(problem)


def read(response: httpx.Response, reply: type[Reply], url: str) -> Reply:
    """Return the message that a good answer holds.

    Raises:
        Unexpected: it holds another one, or none.
    """
    try:
        return reply.model_validate_json(response.content)
    except ValidationError as error:
        raise Unexpected(
            f"What answers at {url} is no vsearch service, or one of another version."
        ) from error


def unfit(error: ValidationError) -> Refused:
    """Return what it means that a message can't be sent: the service would refuse it."""
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return Refused(
        Problem(title="Unprocessable Entity", status=422, detail="; ".join(found[:SHOWN]))
    )


def retry_after_s(text: str) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or a date (RFC 9110);
    None: neither.
    """
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _words(response: httpx.Response) -> str:
    return f"HTTP status {response.status_code} {response.reason_phrase}".strip()
