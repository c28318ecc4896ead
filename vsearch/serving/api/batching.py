import queue
import threading
import time
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
from torch import Tensor

from vsearch.models.runtimes.base import Engine
from vsearch.serving.api.problems import Busy

Wanted = tuple[Engine, Tensor, "Future[np.ndarray]"]


class Batcher:
    """Embeds photos together that arrive together: one thread takes whatever is waiting, up to
    `max_batch`.

    While a batch is embedded, the next one gathers. A photo that comes alone is embedded alone, at
    once. After a batch of several, whose senders may all send again, the first photo waits up to
    `gather_s` until as many have come: else it would be embedded alone, and the others wait for
    that.

    Args:
        max_batch: photos embedded together, 1 or more.
        max_waiting: photos that may wait; more raise Busy.
        gather_s: seconds, 0 or more.
        on_batch: told the size of each batch.
    """

    def __init__(
        self,
        max_batch: int,
        max_waiting: int,
        gather_s: float = 0,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.max_batch, self.max_waiting, self.gather_s, self.on_batch = (
            max_batch,
            max_waiting,
            gather_s,
            on_batch,
        )
        self._waiting: queue.Queue[Wanted | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._work, name="embed", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many photos wait."""
        return self._waiting.qsize()

    async def embed(self, engine: Engine, photo: Tensor) -> np.ndarray:
        """Return the unit vector, float32 (dim,), of a photo, uint8 (3, size, size).

        Raises:
            Busy: `max_waiting` photos wait already.
        """
        result: Future[np.ndarray] = Future()
        try:
            self._waiting.put_nowait((engine, photo, result))
        except queue.Full as error:
            raise Busy(
                f"{self.max_waiting} photos wait to be embedded already. Try again later."
            ) from error
        return await wrap_future(result)

    def close(self) -> None:
        """Let the thread end once all that waits is embedded."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        size = 1
        while (first := self._waiting.get()) is not None:
            batch, last = self._gather(first, size)
            size = len(batch)
            for engine in {
                id(one[0]): one[0] for one in batch
            }.values():  # two only while bundles are swapped
                self._embed(
                    engine, [(photo, result) for own, photo, result in batch if own is engine]
                )
            del (
                first,
                batch,
                engine,
            )  # a bundle that was swapped out is free before the next photo comes
            if last:
                return

    def _gather(self, first: Wanted, before: int) -> tuple[list[Wanted], bool]:
        """Return a batch after one of `before` photos, and whether it is the last."""
        batch, end = [first], time.monotonic() + self.gather_s
        while len(batch) < self.max_batch:
            left = end - time.monotonic() if len(batch) < before else 0
            try:
                following = (
                    self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
                )
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    def _embed(self, engine: Engine, batch: list[tuple[Tensor, "Future[np.ndarray]"]]) -> None:
        wanted = [
            (photo, result) for photo, result in batch if result.set_running_or_notify_cancel()
        ]
        if not wanted:
            return
        self.on_batch(len(wanted))
        try:
            vectors = engine.embed(torch.stack([photo for photo, _ in wanted]))
        except (
            Exception
        ) as error:  # whatever the network raises is the callers', and the thread lives on
            for _, result in wanted:
                result.set_exception(error)
            return
        for vector, (_, result) in zip(vectors, wanted, strict=True):
            result.set_result(vector)
