import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Self

import httpx
import tenacity

from vsearch.serving.client import calls, failures
from vsearch.serving.client.calls import Call, Reply
from vsearch.serving.client.retries import policy

API_KEY_HEADER = "X-API-Key"
P = ParamSpec("P")


def _sending(ask: Callable[P, Call[Reply]]) -> Callable[Concatenate["Client", P], Reply]:
    def method(self: "Client", *args: P.args, **kwargs: P.kwargs) -> Reply:
        return self.send(ask(*args, **kwargs))

    return _described(method, ask)


def _awaiting(
    ask: Callable[P, Call[Reply]],
) -> Callable[Concatenate["AsyncClient", P], Awaitable[Reply]]:
    async def method(self: "AsyncClient", *args: P.args, **kwargs: P.kwargs) -> Reply:
        return await self.send(ask(*args, **kwargs))

    return _described(method, ask)


def _described(method: Any, ask: Callable[..., Any]) -> Any:
    """Give a method the name, docstring and parameters of the call that it sends."""
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    own = inspect.signature(ask)
    method.__signature__ = own.replace(parameters=[self, *own.parameters.values()])
    method.__name__ = ask.__name__
    method.__doc__ = ask.__doc__
    return method


class _Connection:
    """A service's address, timeouts and retries."""

    http: type[Any]
    retrying: type[Any]

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        max_wait_s: float = 30.0,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        headers = {} if api_key is None else {API_KEY_HEADER: api_key}
        self._http = self.http(
            base_url=url, headers=headers, timeout=timeout_s, transport=transport
        )
        self._retrying = self.retrying(**policy(attempts, max_wait_s))


class Client(_Connection):
    """The service, as Python methods. Threads may share one; `with` closes its connections.

    A busy or unreachable service is tried again, see `vsearch.serving.client.retries`. Each method
    may raise a `ServiceError`: Refused if the service refuses (Busy: try again later), Unreachable
    or TooSlow without an answer, Unexpected if something other than vsearch answers.

    Args:
        url: its address, such as http://127.0.0.1:8000.
        timeout_s: the longest wait for a connection, or for sending or receiving data.
        attempts: most requests for one call, at least 1.
        max_wait_s: the longest wait between two of them.
        transport: another way to reach it: a proxy, a certificate, or in tests the app itself.
    """

    http = httpx.Client
    retrying = tenacity.Retrying

    search_photo = _sending(calls.search_photo)
    search = _sending(calls.search)
    batch = _sending(calls.batch)
    similar = _sending(calls.similar)
    product = _sending(calls.product)
    item = _sending(calls.item)
    items = _sending(calls.items)
    image = _sending(calls.image)
    embed = _sending(calls.embed)
    explain = _sending(calls.explain)
    info = _sending(calls.info)

    def send(self, call: Call[Reply]) -> Reply:
        """Send a call, with retries, and return its reply."""
        reply: Reply = self._retrying(self._send_once, call)
        return reply

    def _send_once(self, call: Call[Reply]) -> Reply:
        try:
            response = self._http.request(call.method, call.path, **call.content)
        except httpx.TransportError as error:
            raise failures.of_connection(error, self.url) from error
        return failures.read(response, call.read, self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()


class AsyncClient(_Connection):
    """`Client` for asyncio: await the same methods, and close it with `async with`."""

    http = httpx.AsyncClient
    retrying = tenacity.AsyncRetrying

    search_photo = _awaiting(calls.search_photo)
    search = _awaiting(calls.search)
    batch = _awaiting(calls.batch)
    similar = _awaiting(calls.similar)
    product = _awaiting(calls.product)
    item = _awaiting(calls.item)
    items = _awaiting(calls.items)
    image = _awaiting(calls.image)
    embed = _awaiting(calls.embed)
    explain = _awaiting(calls.explain)
    info = _awaiting(calls.info)

    async def send(self, call: Call[Reply]) -> Reply:
        """Send a call, with retries, and return its reply."""
        reply: Reply = await self._retrying(self._send_once, call)
        return reply

    async def _send_once(self, call: Call[Reply]) -> Reply:
        try:
            response = await self._http.request(call.method, call.path, **call.content)
        except httpx.TransportError as error:
            raise failures.of_connection(error, self.url) from error
        return failures.read(response, call.read, self.url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()
