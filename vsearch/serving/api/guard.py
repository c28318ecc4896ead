import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping

from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsearch.serving.api.access import ADMIN, Access
from vsearch.serving.api.problems import problem
from vsearch.serving.api.state import Service
from vsearch.serving.messages import FINGERPRINT_HEADER, REQUEST_ID_HEADER

logger = logging.getLogger("vsearch.access")
ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # of a request, as a client may give it
PROBES = (
    "/healthz",
    "/readyz",
)  # answered however much is in work: else the service would be restarted
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
CLOSED = "default-src 'none'; frame-ancestors 'none'"
OWN = "default-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-ancestors 'none'"
POLICIES = {"/docs": OWN, "/docs/oauth2-redirect": OWN}


class Guard:
    """Stands around the app: request ids, keys, limits of size, time and number, headers, one log
    line a request.

    Keys and rates are checked before the body comes. Bytes are counted while they come, whatever
    Content-Length says. No request gets to the app with more than `max_requests` in it; a body has
    `body_s` to arrive, the whole `request_s`. Logs have no content, and no query.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service, self.access = app, service, Access(service.settings)
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.in_flight += 1
        self.service.metrics.in_flight.set(self.in_flight)
        try:
            await _Exchange(self, scope, receive, send).run()
        finally:
            self.in_flight -= 1
            self.service.metrics.in_flight.set(self.in_flight)


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard, self.service, self.settings = guard, guard.service, guard.service.settings
        self.scope, self._receive, self._send = scope, receive, send
        self.path = get_route_path(
            scope
        )  # the router's own way: else a root path would lead around the keys
        self.headers = headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        self.id = scope["request_id"] = given if ID.fullmatch(given) else uuid.uuid4().hex
        scope["opened"] = self.service.now
        self.length = headers.get("content-length", "")
        form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        self.most = self.settings.max_body_bytes if form else self.settings.max_json_bytes
        self.most = min(self.most, self.settings.max_body_bytes)
        self.arrived = not (self.length.strip("0") or "transfer-encoding" in headers)
        self.bytes_in, self.status = 0, 0
        self.start = time.perf_counter()
        self.deadline: asyncio.Timeout | None = None

    async def run(self) -> None:
        try:
            await self._limited()
        except Exception:
            logger.exception("failed", extra={"request_id": self.id})
            await self._refuse(
                500, "An error of the service, which its log explains under this request_id."
            )
        except asyncio.CancelledError:
            await self._refuse(503, "The service is stopping.")
            raise
        finally:
            self._log()

    async def _limited(self) -> None:
        again = {"Retry-After": str(self.settings.retry_after_s)}
        if refused := self._unwanted():
            await self._refuse(refused.status_code, refused.detail, refused.headers)
        elif self.guard.in_flight > self.settings.max_requests and self.path not in PROBES:
            await self._refuse(
                503, f"{self.settings.max_requests} requests are in work already.", again
            )
        elif self.length.isdecimal() and int(self.length[:20]) > self.most:
            await self._refuse(413, self._too_long())
        else:
            try:
                async with asyncio.timeout(self._seconds()) as self.deadline:
                    await self.guard.app(self.scope, self.receive, self.send)
            except TimeoutError:
                if self.arrived:
                    await self._refuse(
                        503, f"It took more than {self.settings.request_s:g} s.", again
                    )
                else:
                    await self._refuse(
                        408, f"The body took more than {self.settings.body_s:g} s to arrive."
                    )

    def _unwanted(self) -> HTTPException | None:
        address = (self.scope.get("client") or ("",))[0]
        try:
            self.guard.access.check(self.path, self.headers, address)
        except HTTPException as refused:
            return refused
        return None

    def _seconds(self) -> float | None:
        if self.path.startswith(ADMIN):  # a bundle of gigabytes takes its time
            return None
        return (
            self.settings.request_s
            if self.arrived
            else min(self.settings.body_s, self.settings.request_s)
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_in += len(message.get("body", b""))
            if self.bytes_in > self.most:
                raise HTTPException(413, self._too_long())
            if not message.get("more_body", False) and not self.arrived:
                self.arrived = True
                if self.deadline is not None and self.deadline.when() is not None:
                    spent = time.perf_counter() - self.start
                    self.deadline.reschedule(
                        asyncio.get_running_loop().time() + self.settings.request_s - spent
                    )
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self.id
            headers[FINGERPRINT_HEADER] = self.scope[
                "opened"
            ].fingerprint  # reload answers with the new one
            headers.setdefault("Cache-Control", "no-store")
            for name, value in HEADERS.items():
                headers[name] = value
            headers["Cross-Origin-Resource-Policy"] = (
                "cross-origin" if self.settings.cors_origins else "same-origin"
            )
            headers["Content-Security-Policy"] = POLICIES.get(self.path, CLOSED)
            if not self.arrived:
                headers["Connection"] = "close"  # the rest of the body is not read
        await self._send(message)

    async def _refuse(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        if not self.status:
            await problem(status, detail, self.id, headers)(self.scope, self.receive, self.send)

    def _too_long(self) -> str:
        return f"The request's body is longer than {self.most:,} bytes. Send a smaller photo, or fewer searches at once."

    def _log(self) -> None:
        route = getattr(self.scope.get("route"), "path_format", None) or "none"
        took, method = time.perf_counter() - self.start, self.scope["method"]
        method = (
            method
            if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
            else "other"
        )
        self.service.metrics.requests.labels(route, method, str(self.status)).inc()
        self.service.metrics.seconds.labels(route).observe(took)
        values = {
            "request_id": self.id,
            "method": method,
            "route": route,
            "status": self.status,
            "ms": round(1000 * took, 1),
            "bytes_in": self.bytes_in,
        }
        logger.info("request", extra=values)
