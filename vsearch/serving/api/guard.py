import asyncio
import contextlib
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsearch.serving.api.access import ADMIN, Access
from vsearch.serving.api.headers import REQUEST_ID_HEADER, complete
from vsearch.serving.api.problems import problem
from vsearch.serving.api.service import Service

logger = logging.getLogger("vsearch.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # as a client may give it
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")  # others share one metric
# never refused for load: a failed probe would restart the service
PROBES = ("/healthz", "/readyz")
READ_OFF_S = 5  # of an unwanted body, after its request is answered
READ_OFF_BODIES = 2  # times the longest body


class Guard:
    """The outermost layer: ids, keys, limits of size, time and number, headers, a log line each.

    Keys and rates are checked before the body arrives. Bytes are counted while they arrive,
    regardless of Content-Length. At most `max_requests` run at once; a body must arrive within
    `body_s`, and the whole request must finish within `request_s`. If a request is answered before
    its body has arrived, the rest is read, within limits: otherwise the client, or a proxy, would
    see a broken connection instead of the answer. Logs hold neither content nor queries.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service
        self.access = Access(service.settings)
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        exchange = _Exchange(self, scope, receive, send)
        self.in_flight += 1
        self.service.metrics.in_flight.set(self.in_flight)
        try:
            await exchange.run()
        finally:
            self.in_flight -= 1
            self.service.metrics.in_flight.set(self.in_flight)
        await exchange.read_off()


class _Exchange:
    """One request and its reply."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard = guard
        self.metrics = guard.service.metrics
        self.settings = guard.service.settings
        self.scope = scope
        self._receive = receive
        self._send = send

        self.headers = Headers(scope=scope)
        self.path = route_path(scope)
        self.length = self.headers.get("content-length", "")
        self.longest = self._longest_body()
        self.arrived = not (self.length.strip("0") or "transfer-encoding" in self.headers)
        self.start = asyncio.get_running_loop().time()
        self.bytes_in = 0
        self.status = 0
        self.last: Message | None = None  # held back until the rest of the body is read

        given_id = self.headers.get(REQUEST_ID_HEADER, "")
        self.state = Request(scope).state
        self.state.request_id = given_id if REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        self.state.bundle = guard.service.now
        self.state.end = time.monotonic() + self.settings.request_s

    async def run(self) -> None:
        try:
            await self._answer()
        except HTTPException as refused:
            await self._refuse(refused)
        except Exception:
            logger.exception("failed", extra={"request_id": self.state.request_id})
            detail = "The service failed; its log explains it under this request_id."
            await self._refuse(HTTPException(500, detail))
        except asyncio.CancelledError:
            await self._refuse(HTTPException(503, "The service is stopping."))
            raise
        finally:
            self._log()

    async def _answer(self) -> None:
        settings = self.settings
        later = {"Retry-After": str(settings.retry_after_s)}
        address = (self.scope.get("client") or ("",))[0]
        self.guard.access.check(self.path, self.headers, address)

        if self.guard.in_flight > settings.max_requests and self.path not in PROBES:
            detail = f"The service is already handling {settings.max_requests} requests."
            raise HTTPException(503, detail, later)
        if self.length.isdecimal() and int(self.length[:20]) > self.longest:
            raise self._too_long()

        self.deadline = asyncio.timeout_at(self._end())
        try:
            async with self.deadline:
                await self.guard.app(self.scope, self.receive, self.send)
        except TimeoutError as error:
            if self.arrived:
                detail = f"It took more than {settings.request_s:g} s."
                raise HTTPException(503, detail, later) from error
            detail = f"The body took more than {settings.body_s:g} s to arrive."
            raise HTTPException(408, detail) from error

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_in += len(message.get("body", b""))
            if self.bytes_in > self.longest:
                raise self._too_long()
            if not message.get("more_body", False):
                self.arrived = True
                self.deadline.reschedule(self._end())
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            complete(
                headers,
                self.path,
                self.state.bundle.fingerprint,
                self.state.request_id,
                cross_origin=bool(self.settings.cors_origins),
            )
            if not self.arrived:
                headers["Connection"] = "close"
        elif not self.arrived and not message.get("more_body", False):
            self.last = {"type": "http.response.body"}  # sending it now would close the connection
            message = {**message, "more_body": True}
        await self._send(message)

    async def read_off(self) -> None:
        """Read the rest of a body after an early answer, then end the answer."""
        if self.last is None:
            return
        left = READ_OFF_BODIES * self.settings.max_body_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_OFF_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        await self._send(self.last)

    def _end(self) -> float | None:
        """Return the request's deadline, on the event loop's clock."""
        if self.path.startswith(ADMIN):  # opening a bundle of gigabytes takes long
            return None
        seconds = self.settings.request_s
        if not self.arrived:
            seconds = min(seconds, self.settings.body_s)
        return self.start + seconds

    def _longest_body(self) -> int:
        kind = self.headers.get("content-type", "").lower()
        if kind.startswith("multipart/form-data"):
            return self.settings.max_body_bytes
        return min(self.settings.max_json_bytes, self.settings.max_body_bytes)

    def _too_long(self) -> HTTPException:
        limit = f"The request's body is longer than {self.longest:,} bytes"
        return HTTPException(413, f"{limit}: send a smaller photo, or fewer searches at once.")

    async def _refuse(self, refused: HTTPException) -> None:
        if self.status:
            return  # the reply has already begun
        reply = problem(refused.status_code, refused.detail, self.state.request_id, refused.headers)
        await reply(self.scope, self.receive, self.send)

    def _log(self) -> None:
        route = getattr(self.scope.get("route"), "path_format", None) or "none"
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        seconds = asyncio.get_running_loop().time() - self.start
        self.metrics.requests.labels(route, method, str(self.status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        values = {"request_id": self.state.request_id, "method": method, "route": route}
        values |= {"status": self.status, "ms": round(1000 * seconds, 1), "bytes_in": self.bytes_in}
        logger.info("request", extra=values)


def route_path(scope: Scope) -> str:
    """Return the path below the root path, as the router sees it: it decides whether a key is
    needed.

    A proxy may keep the root path in the path or remove it (ASGI allows both).
    """
    path: str = scope["path"]
    root = scope.get("root_path", "")
    if path == root or path.startswith(f"{root}/"):
        return path[len(root) :]
    return path
