from collections.abc import Sequence
from typing import Any, Self, Unpack

import httpx
import tenacity

import vsearch.serving.client.calls as calls
import vsearch.serving.client.failures as failures
from vsearch.serving.client.calls import Box, Call, Ids, Reply, Wishes
from vsearch.serving.client.retries import policy
from vsearch.serving.messages import (
    BatchReply,
    EmbedReply,
    ExplainReply,
    Info,
    Item,
    ItemsReply,
    SearchReply,
    SearchRequest,
)

API_KEY_HEADER = "X-API-Key"


class Client:
    """The service, as Python methods. Threads may share one; `with` closes its connections.

    What is busy or can't be reached is tried again, see `vsearch.serving.client.retries`. Each
    method raises a `ServiceError`:

        Refused: the service says no; the message says why. One of them is Busy: still too early to
            try again.
        Unreachable, TooSlow: no answer.
        Unexpected: what answers is no vsearch service.

    Args:
        url: where it is, such as http://127.0.0.1:8000.
        api_key: where it wants one.
        timeout_s: the longest wait for a connection, for the next part of an answer, or to get rid
            of one of a photo.
        attempts: requests in all for one call, at least 1.
        max_wait_s: the longest wait between two of them.
        transport: another way to reach it: a proxy, a certificate, or in tests the app itself.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        max_wait_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url, headers=_headers(api_key), timeout=timeout_s, transport=transport
        )
        self._retrying = tenacity.Retrying(**policy(attempts, max_wait_s))

    def search_photo(
        self, photo: bytes, box: Box | None = None, **wishes: Unpack[Wishes]
    ) -> SearchReply:
        """Return the items that look most like a photo, or like the part of it in `box`."""
        return self._send(calls.search_photo(photo, box, wishes))

    def search(
        self,
        positive: Ids = (),
        negative: Ids = (),
        embedding: Sequence[float] | None = None,
        **wishes: Unpack[Wishes],
    ) -> SearchReply:
        """Return the items near the positive examples and away from the negative ones, or near an
        embedding.
        """
        return self._send(calls.search(positive, negative, embedding, wishes))

    def batch(self, searches: Sequence[SearchRequest]) -> BatchReply:
        """Return a reply for each of several searches."""
        return self._send(calls.batch(searches))

    def similar(self, item: str, **wishes: Unpack[Wishes]) -> SearchReply:
        """Return the items that look most like an item, without the item."""
        return self._send(calls.similar(item, wishes))

    def item(self, item: str) -> Item:
        """Return the item with this id."""
        return self._send(calls.item(item))

    def items(self, offset: int = 0, limit: int = 10) -> ItemsReply:
        """Return some items in the order of the index, and how many there are."""
        return self._send(calls.items(offset, limit))

    def image(self, path: str) -> bytes:
        """Return a picture by its `thumbnail_url` or `image_url`."""
        return self._retrying(self._once, "GET", calls.own_path(path), {}).content

    def embed(self, photo: bytes, box: Box | None = None) -> EmbedReply:
        """Return a photo's embedding."""
        return self._send(calls.embed(photo, box))

    def explain(self, item: str, photo: bytes, box: Box | None = None) -> ExplainReply:
        """Return why a photo and an item look alike."""
        return self._send(calls.explain(item, photo, box))

    def info(self) -> Info:
        """Return what is served: model, index, columns, measured quality."""
        return self._send(calls.info())

    def _send(self, call: Call[Reply]) -> Reply:
        response = self._retrying(self._once, call.method, call.path, call.content)
        return failures.read(response, call.reply, self.url)

    def _once(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise failures.of_exception(error, self.url) from error
        return failures.checked(response)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()


class AsyncClient:
    """`Client` for asyncio: the same methods, to be awaited, `async with` to close it; see there."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        attempts: int = 4,
        max_wait_s: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(api_key), timeout=timeout_s, transport=transport
        )
        self._retrying = tenacity.AsyncRetrying(**policy(attempts, max_wait_s))

    async def search_photo(
        self, photo: bytes, box: Box | None = None, **wishes: Unpack[Wishes]
    ) -> SearchReply:
        """Return the items that look most like a photo, or like the part of it in `box`."""
        return await self._send(calls.search_photo(photo, box, wishes))

    async def search(
        self,
        positive: Ids = (),
        negative: Ids = (),
        embedding: Sequence[float] | None = None,
        **wishes: Unpack[Wishes],
    ) -> SearchReply:
        """Return the items near the positive examples and away from the negative ones, or near an
        embedding.
        """
        return await self._send(calls.search(positive, negative, embedding, wishes))

    async def batch(self, searches: Sequence[SearchRequest]) -> BatchReply:
        """Return a reply for each of several searches."""
        return await self._send(calls.batch(searches))

    async def similar(self, item: str, **wishes: Unpack[Wishes]) -> SearchReply:
        """Return the items that look most like an item, without the item."""
        return await self._send(calls.similar(item, wishes))

    async def item(self, item: str) -> Item:
        """Return the item with this id."""
        return await self._send(calls.item(item))

    async def items(self, offset: int = 0, limit: int = 10) -> ItemsReply:
        """Return some items in the order of the index, and how many there are."""
        return await self._send(calls.items(offset, limit))

    async def image(self, path: str) -> bytes:
        """Return a picture by its `thumbnail_url` or `image_url`."""
        return (await self._retrying(self._once, "GET", calls.own_path(path), {})).content

    async def embed(self, photo: bytes, box: Box | None = None) -> EmbedReply:
        """Return a photo's embedding."""
        return await self._send(calls.embed(photo, box))

    async def explain(self, item: str, photo: bytes, box: Box | None = None) -> ExplainReply:
        """Return why a photo and an item look alike."""
        return await self._send(calls.explain(item, photo, box))

    async def info(self) -> Info:
        """Return what is served: model, index, columns, measured quality."""
        return await self._send(calls.info())

    async def _send(self, call: Call[Reply]) -> Reply:
        response: httpx.Response = await self._retrying(
            self._once, call.method, call.path, call.content
        )
        return failures.read(response, call.reply, self.url)

    async def _once(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise failures.of_exception(error, self.url) from error
        return failures.checked(response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()


def _headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {API_KEY_HEADER: api_key}
