import time

import numpy as np
from fastapi import Request
from starlette.exceptions import HTTPException

from vsearch.search.query_by_example import combine
from vsearch.serving.api.opened import Opened
from vsearch.serving.api.photos import Region, Seen, check_kind, decode
from vsearch.serving.api.replies import reply, unit
from vsearch.serving.api.state import Service
from vsearch.serving.messages import Example, SearchReply, SearchRequest, Took, Wishes


class Work:
    """What one request has done, with the bundle that it started with; blocking steps in their
    threads, timed.

    Attributes:
        service: what all requests share.
        opened: the bundle of this request.
        root: the path under which the service is offered, without a slash at its end.
        ms: milliseconds of each step so far, waiting included.
    """

    def __init__(self, request: Request) -> None:
        self.service: Service = request.app.state.service
        self.opened: Opened = request.scope["opened"]
        self.root = self.service.settings.root_path.rstrip("/")
        self.ms = {"decode": 0.0, "embed": 0.0, "search": 0.0}

    @property
    def took(self) -> Took:
        """For replies."""
        return Took(**{name: round(value, 2) for name, value in self.ms.items()})

    def position(self, id: str) -> int:
        """Return an item's row.

        Raises:
            HTTPException: 404, there is no such item.
        """
        found = self.opened.positions.get(id)
        if found is None:
            raise HTTPException(404, f"No item has the id {id[:100]!r}.")
        return found

    async def check(self, wishes: Wishes) -> None:
        """Check the wishes, before the work that would be for nothing.

        Raises:
            FilterError, Busy: as `search`.
        """
        if wishes.where is not None or wishes.group_by is not None:
            await self.service.searching.run(
                self.opened.bundle.check, wishes.where, wishes.group_by
            )

    async def see(self, data: bytes, region: Region | None) -> Seen:
        """Return an uploaded photo as the network gets it.

        Raises:
            HTTPException: 415, it is no photo.
            PhotoError: it can't be used.
            Busy: too many wait.
        """
        check_kind(data)
        preprocessing, most = (
            self.opened.bundle.embedder.preprocessing,
            self.service.settings.max_pixels,
        )
        start = time.perf_counter()
        seen = await self.service.decoding.run(decode, data, preprocessing, region, most)
        self._spent("decode", start)
        return seen

    async def embed(self, data: bytes, region: Region | None) -> np.ndarray:
        """Return an uploaded photo's unit vector, float32 (dim,). Raises as `see` does."""
        seen = await self.see(data, region)
        start = time.perf_counter()
        vector = await self.service.batcher.embed(self.opened.engine, seen.square)
        self._spent("embed", start)
        return vector

    async def search(
        self,
        queries: np.ndarray,
        wishes: Wishes,
        without: list[int] | None = None,
        whole_photo: bool = True,
    ) -> SearchReply:
        """Return the items nearest to a unit vector, float32 (1, dim); never those at the positions
        `without`.

        The calibration was made with new whole photos and all items: of other queries, or behind a
        filter, it says nothing.

        Raises:
            FilterError: the filter or the grouping doesn't fit the items.
            Busy: too many wait.
        """
        start = time.perf_counter()
        found = await self.service.searching.run(
            self._search, queries, wishes, without or [], whole_photo
        )
        self._spent("search", start)
        return found.model_copy(update={"took_ms": self.took})

    async def answer(self, wanted: SearchRequest) -> SearchReply:
        """Search by ids, by an embedding, or by both.

        Raises:
            HTTPException: 404, no such item; 422, neither or both, or an embedding that is none.
            ExampleError: the examples leave no direction to search in.
            FilterError, Busy: as `search`.
        """
        if wanted.embedding is None and not wanted.positive:
            raise HTTPException(
                422,
                "Send positive examples or an embedding; negative examples alone are not enough.",
            )
        given = (
            None
            if wanted.embedding is None
            else unit(wanted.embedding, self.opened.bundle.embedder.dim)
        )
        if isinstance(given, str):
            raise HTTPException(422, given)
        near, far = self._rows(wanted.positive), self._rows(wanted.negative)
        if given is not None and not near and not far:
            return await self.search(given, wanted)
        query = await self.service.searching.run(self._combined, wanted, near, far, given)
        return await self.search(query, wanted, near + far, whole_photo=False)

    def _rows(self, examples: list[Example]) -> list[int]:
        return [self.position(example.id) for example in examples]

    def _combined(
        self, wanted: SearchRequest, near: list[int], far: list[int], given: np.ndarray | None
    ) -> np.ndarray:
        vectors = self.opened.bundle.kept_vectors(near + far)
        plus, minus = (
            [one.weight for one in examples] for examples in (wanted.positive, wanted.negative)
        )
        positive = vectors[: len(near)]
        if given is not None:
            positive, plus = np.concatenate([given, positive]), [1.0, *plus]
        return combine(
            positive,
            vectors[len(near) :],
            positive_weights=np.array(plus),
            negative_weights=np.array(minus) if minus else None,
        )[None]

    def _search(
        self, queries: np.ndarray, wishes: Wishes, without: list[int], whole_photo: bool
    ) -> SearchReply:
        bundle = self.opened.bundle
        allowed = bundle.allowed(wishes.where)
        if without:
            allowed = np.ones(len(bundle.items), dtype=bool) if allowed is None else allowed
            allowed[without] = False
        (found,) = bundle.find(queries, wishes.k, allowed, wishes.min_score, wishes.group_by)
        calibration = self.opened.calibration if whole_photo and wishes.where is None else None
        return reply(self.opened, self.root, found, wishes, self.took, calibration)

    def _spent(self, step: str, start: float) -> None:
        spent = time.perf_counter() - start
        self.ms[step] += 1000 * spent
        self.service.metrics.steps.labels(step).observe(spent)
