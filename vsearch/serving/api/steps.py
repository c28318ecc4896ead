import time
from asyncio import gather
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import numpy as np
from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from vsearch.search.matched_parts import MatchedParts
from vsearch.search.query_by_example import combine
from vsearch.serving.api.photos import SeenPhoto, check_kind, decode, decode_parts
from vsearch.serving.api.replies import search_reply
from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.api.service import Service
from vsearch.serving.messages import Region, SearchOptions, SearchReply, SearchRequest, Took


class Steps:
    """The steps of one request (decode, embed, search), each in its threads, and timed.

    Every step may raise `Busy`. `bundle` is the one that was served when the request came; `end`,
    a `time.monotonic()`, is the request's deadline.
    """

    def __init__(self, request: Request) -> None:
        self.service: Service = request.app.state.service
        self.bundle: ServedBundle = request.state.bundle
        self.end: float = request.state.end
        self.root_path = self.service.settings.root_path
        self._ms = {"decode": 0.0, "embed": 0.0, "search": 0.0}

    @property
    def took(self) -> Took:
        """Milliseconds of each step so far, waiting included."""
        return Took(**{step: round(ms, 2) for step, ms in self._ms.items()})

    def position(self, id: str) -> int:
        """Return an item's row, or raise a 404."""
        found = self.bundle.positions.get(id)
        if found is None:
            raise HTTPException(404, f"No item has the id {id[:100]!r}.")
        return found

    async def check(self, options: SearchOptions) -> None:
        """Raise a FilterError if the options don't fit the items, before other work is done."""
        if options.where is not None or options.group_by is not None:
            check = self.bundle.searcher.check
            await self.service.searching.run(check, options.where, options.group_by)

    async def see(self, data: bytes, region: Region | None) -> SeenPhoto:
        """Return an uploaded photo as the network gets it, or raise a 415 or a PhotoError."""
        check_kind(data)
        with self._timed("decode"):
            return await self.service.decoding.run(self._see, data, region)

    async def embed(self, data: bytes, region: Region | None) -> np.ndarray:
        """Return an uploaded photo's unit vector, float32 (1, dim)."""
        photo = await self.see(data, region)
        with self._timed("embed"):
            vector = await self.service.batcher.embed(self.bundle.runtime, photo.square)
        return vector[None]

    async def embed_parts(self, data: bytes, region: Region | None) -> np.ndarray:
        """Return unit vectors, float32 (1, p, dim), of an uploaded photo and of its parts."""
        check_kind(data)
        with self._timed("decode"):
            squares = await self.service.decoding.run(self._see_parts, data, region)
        with self._timed("embed"):
            embed = self.service.batcher.embed
            vectors = await gather(*[embed(self.bundle.runtime, square) for square in squares])
        return np.stack(vectors)[None]

    @property
    def nothing(self) -> np.ndarray:
        """No vectors, float32 (0, dim)."""
        return np.zeros((0, self.bundle.runtime.dim), dtype=np.float32)

    async def embed_text(self, text: str) -> np.ndarray:
        """Return a text's unit vector, float32 (dim,), or raise an ExampleError."""
        with self._timed("embed"):
            return await self.service.searching.run(self.bundle.searcher.embed_text, text)

    async def search(
        self,
        query: np.ndarray,
        options: SearchOptions,
        leave_out: Sequence[int] = (),
        calibrated: bool = True,
    ) -> SearchReply:
        """Return the items nearest to a unit vector, float32 (1, dim), or to a photo and its parts,
        (1, p, dim), except those in rows `leave_out`, see `Searcher.leave_out`.

        `calibrated`: the query is a new, whole photo, as in the calibration.
        """
        with self._timed("search"):
            reply = await self.service.searching.run(
                self._search, query, options, leave_out, calibrated
            )
        reply.took_ms = self.took
        return reply

    async def search_examples(self, wanted: SearchRequest) -> SearchReply:
        """Search by ids, by an embedding, by a text, or by several of these."""
        if wanted.embedding is None and not wanted.positive and wanted.text is None:
            needed = "Send positive examples or an embedding, or a text"
            raise HTTPException(422, f"{needed}; negative ones alone aren't enough.")
        given = self.nothing
        if wanted.embedding is not None:
            given = unit_vector(wanted.embedding, self.bundle.runtime.dim)
        near = [self.position(example.id) for example in wanted.positive]
        far = [self.position(example.id) for example in wanted.negative]
        words = None if wanted.text is None else await self.embed_text(wanted.text)
        if not near and not far and words is None:
            return await self.search(given, wanted)

        query = await self.service.searching.run(self._combined, wanted, near, far, given, words)
        return await self.search(query, wanted, near + far, calibrated=False)

    def _see(self, data: bytes, region: Region | None) -> SeenPhoto:
        wanted = self.bundle.runtime.preprocessing
        with self.service.budget.shared(self.end) as reserve:
            return decode(data, wanted, region, self.service.settings.max_pixels, reserve)

    def _see_parts(self, data: bytes, region: Region | None) -> list[np.ndarray]:
        wanted = self.bundle.runtime.preprocessing
        parts = self.bundle.searcher.query_regions
        with self.service.budget.shared(self.end) as reserve:
            most = self.service.settings.max_pixels
            return decode_parts(data, wanted, region, parts, most, reserve)

    def _combined(
        self,
        wanted: SearchRequest,
        near: list[int],
        far: list[int],
        given: np.ndarray,
        words: np.ndarray | None,
    ) -> np.ndarray:
        vectors = self.nothing
        if near or far:
            vectors = self.bundle.searcher.kept_vectors(near + far)
        positive = np.concatenate([given, vectors[: len(near)]])
        weights = [1.0] * len(given) + [example.weight for example in wanted.positive]
        against = [example.weight for example in wanted.negative]
        query = combine(
            positive,
            vectors[len(near) :],
            positive_weights=np.array(weights),
            negative_weights=np.array(against) if against else None,
            text=words,
            text_weight=wanted.text_weight,
        )
        return query[None]

    def _search(
        self,
        query: np.ndarray,
        options: SearchOptions,
        leave_out: Sequence[int],
        calibrated: bool,
    ) -> SearchReply:
        searcher = self.bundle.searcher
        allowed = searcher.allowed(options.where)
        allowed = searcher.leave_out(leave_out, allowed, options.each_photo)
        (hits,) = searcher.find(
            query,
            options.k,
            allowed,
            options.min_score,
            options.group_by,
            options.expand,
            options.each_photo,
        )
        # the calibration was made with whole photos among all items, and their own scores
        means = searcher.uses_means(options.group_by, options.each_photo)
        calibrated = calibrated and options.where is None and not options.expand and not means
        parts = [MatchedParts()] * len(hits[1])
        if not means:  # of a mean, no part is the one that matched
            parts = searcher.matched_parts(query[0], hits[1])
        return search_reply(
            self.bundle, self.root_path, hits, parts, options, self.took, calibrated
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._ms[step] += 1000 * seconds
        self.service.metrics.steps.labels(step).observe(seconds)


def unit_vector(numbers: list[float], dim: int) -> np.ndarray:
    """Return a client's embedding as a unit vector, float32 (1, dim), or raise a 422."""
    if len(numbers) != dim:
        given = f"embedding: {len(numbers)} numbers"
        raise HTTPException(422, f"{given}; this model's embeddings have {dim}.")
    vector = np.array(numbers, dtype=np.float64)
    largest = np.abs(vector).max()
    if not 0 < largest < np.inf:  # NaN neither
        raise HTTPException(422, "embedding: its numbers must be finite and not all 0.")
    vector /= largest  # squares of large numbers overflow
    return (vector / np.linalg.norm(vector)).astype(np.float32)[None]


async def _begin(request: Request) -> Steps:
    return Steps(request)


RequestSteps = Annotated[Steps, Depends(_begin)]
