import queue
import threading
import time
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from vsearch.models.runtimes.base import Runtime
from vsearch.serving.api.problems import Busy

CLOSING_S = 0.5  # that the process waits for a batch when it ends


@dataclass(frozen=True)
class _Waiting:
    """A photo that waits to be embedded."""

    runtime: Runtime
    photo: np.ndarray
    vector: "Future[np.ndarray]" = field(default_factory=Future)


class Batcher:
    """Embeds photos that arrive together as a batch, in one thread.

    While a batch is embedded, the next one is collected. A photo that arrives alone is embedded
    alone, at once. After a batch of several, the same clients may all send again. Then the first
    photo waits up to `gather_s` for as many photos; otherwise it would be embedded alone, and the
    others would wait for it.

    Args:
        max_batch: photos embedded together, 1 or more.
        max_waiting: photos that may wait; more raise Busy.
        gather_s: seconds, 0 or more.
        on_batch: called with the size of each batch.
    """

    def __init__(
        self,
        max_batch: int,
        max_waiting: int,
        gather_s: float = 0,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.max_batch = max_batch
        self.max_waiting = max_waiting
        self.gather_s = gather_s
        self.on_batch = on_batch
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(max_waiting)  # None: the end
        self._thread = threading.Thread(target=self._work, name="embed", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many photos wait."""
        return self._queue.qsize()

    async def embed(self, runtime: Runtime, photo: np.ndarray) -> np.ndarray:
        """Return the unit vector, float32 (dim,), of a photo, uint8 (3, S, S), or raise Busy."""
        waiting = _Waiting(runtime, photo)
        try:
            self._queue.put_nowait(waiting)
        except queue.Full as error:
            raise Busy(f"{self.max_waiting} photos are waiting. Try again later.") from error
        return await wrap_future(waiting.vector)

    def close(self) -> None:
        """End the thread once all waiting photos are embedded; wait at most CLOSING_S for it."""
        try:
            self._queue.put(None, timeout=CLOSING_S)
        except queue.Full:
            return
        self._thread.join(CLOSING_S)

    def _work(self) -> None:
        self._ended = False
        size = 1
        while not self._ended:
            size = self._embed_next(size)

    def _embed_next(self, size_before: int) -> int:
        """Embed the next batch; return its size.

        It returns after each batch, so that no variable keeps a replaced bundle in memory.
        """
        batch = self._gather(size_before)
        for runtime in {id(one.runtime): one.runtime for one in batch}.values():
            # there are two runtimes while bundles are swapped
            self._embed(runtime, [one for one in batch if one.runtime is runtime])
        return len(batch)

    def _gather(self, size_before: int) -> list[_Waiting]:
        batch: list[_Waiting] = []
        following = self._queue.get()
        end = time.monotonic() + self.gather_s
        while following is not None:
            batch.append(following)
            if len(batch) == self.max_batch:
                return batch
            left = end - time.monotonic() if len(batch) < size_before else 0
            try:
                following = self._queue.get(block=left > 0, timeout=max(left, 0))
            except queue.Empty:
                return batch
        self._ended = True
        return batch

    def _embed(self, runtime: Runtime, batch: list[_Waiting]) -> None:
        wanted = [one for one in batch if one.vector.set_running_or_notify_cancel()]
        if not wanted:
            return
        self.on_batch(len(wanted))
        try:
            vectors = runtime.embed(np.stack([one.photo for one in wanted]))
        except Exception as error:  # the callers handle it: the thread must not end
            for one in wanted:
                one.vector.set_exception(error)
            return
        for one, vector in zip(wanted, vectors, strict=True):
            one.vector.set_result(vector)
