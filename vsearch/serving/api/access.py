import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from vsearch.serving.api.settings import Settings

REMEMBERED = 10_000  # callers
ADMIN = "/v1/admin/"  # paths that need an admin key
KEYED = "/v1/"  # paths that need a key

by_header = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="A key of VSEARCH_API_KEY, if it is set."
)
by_bearer = HTTPBearer(auto_error=False, description="The same key, as a bearer token.")
DESCRIBED = [Security(by_header), Security(by_bearer)]  # in the manual; `Access` checks


class Access:
    """Checks a request's key; without keys in the settings, all requests are allowed."""

    def __init__(self, settings: Settings) -> None:
        self.keys = [_digest(key) for key in settings.keys]
        self.admin_keys = [_digest(key) for key in settings.admin_keys]
        self.rate = Rate(settings.rate_per_minute)

    def check(self, path: str, headers: Headers, address: str) -> None:
        """Check and count a request; an HTTPException refuses it: 401 without a valid key, 429 for
        too many requests.
        """
        if not path.startswith(KEYED):
            return
        keys = self.admin_keys if path.startswith(ADMIN) else self.keys
        key = _digest(given_key(headers))
        # a list, not a generator: the time must not tell which key matched
        matches = [hmac.compare_digest(key, known) for known in keys]
        if keys and not any(matches):
            self.rate.count(address)  # so that nobody can try many keys
            detail = "The X-API-Key header has no valid key."
            raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
        # without keys in the settings anybody could invent one, so the address counts
        self.rate.count(key.hex() if keys else address)


def given_key(headers: Headers) -> str:
    """Return the key in a request; empty: none."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")


class Rate:
    """A token bucket for each caller: it holds a minute's requests and refills at that rate."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self.clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests left, and when

    def count(self, caller: str) -> None:
        """Count a request, or raise a 429 with Retry-After."""
        wait = self.take(caller)
        if wait > 0:
            detail = f"More than {self.per_minute} requests a minute. Try again in {wait:.0f} s."
            raise HTTPException(429, detail, {"Retry-After": f"{wait:.0f}"})

    def take(self, caller: str) -> float:
        """Count a request; return the whole seconds to wait if there are too many, else 0."""
        if not self.per_minute:
            return 0
        now = self.clock()
        left, then = self._left.pop(caller, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
        allowed = left >= 1

        self._left[caller] = (left - allowed, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) * 60 / self.per_minute)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
