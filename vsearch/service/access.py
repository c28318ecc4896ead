import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

REMEMBERED = 10_000  # callers whose rate is known at once

by_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of VSEARCH_API_KEY, where it is set.")
by_bearer = HTTPBearer(auto_error=False, description="The same key, as a bearer token.")


def given_key(
    header: Annotated[str | None, Security(by_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(by_bearer)],
) -> str | None:
    """Return the key that a request came with."""
    return header or (bearer.credentials if bearer else None)


class Keys:
    """Lets in who has one of the keys; compares in constant time. Without keys everybody is let in."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __call__(self, key: Annotated[str | None, Depends(given_key)]) -> None:
        """Check a request.

        Raises:
            HTTPException: 401, no key or a wrong one.
        """
        if not self._digests:
            return
        digest = _digest(key or "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]  # all are compared, always
        if not any(matches):
            raise HTTPException(401, "The X-API-Key header has no valid key.", {"WWW-Authenticate": "Bearer"})


class Rate:
    """A token bucket for each caller: a minute's worth at once, then as many as a minute gives back.

    Args:
        per_minute: requests; 0: no limit.
        clock: seconds, rising.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.clock = per_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests left, and when that was

    def __call__(self, request: Request, key: Annotated[str | None, Depends(given_key)]) -> None:
        """Count a request of a key, or of an address where there is no key.

        Raises:
            HTTPException: 429, with Retry-After.
        """
        wait = self.take(_digest(key).hex() if key else request.client.host if request.client else "")
        if wait > 0:
            message = f"More than {self.per_minute} requests a minute. Try again in {wait:.0f} s."
            raise HTTPException(429, message, {"Retry-After": f"{wait:.0f}"})

    def take(self, caller: str) -> float:
        """Count a request; return the seconds to wait if it is one too many (whole, 1 or more), else 0."""
        if not self.per_minute:
            return 0
        now = self.clock()
        left, then = self._left.pop(caller, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
        self._left[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return 0 if left >= 1 else math.ceil((1 - left) * 60 / self.per_minute)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
