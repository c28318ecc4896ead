import ctypes
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from vsearch.data.photos import PhotoError, Reserve
from vsearch.serving.api.problems import Busy

LARGE = 64_000_000  # bytes from which a photo's memory is returned to the system at once


class DecodingBudget:
    """Bytes that all photos being decoded may take together.

    Photos get their share in the order of their requests. A photo larger than the budget gets all
    of it and is decoded alone.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._changed = threading.Condition()
        self._asking: deque[object] = deque()

    @contextmanager
    def shared(self, end: float) -> Iterator[Reserve]:
        """Yield `open_photo`'s `reserve`; the bytes are released after the block.

        `reserve` waits until `end`, a `time.monotonic()`, and then raises Busy.
        """
        share = 0

        def reserve(wanted: int) -> None:
            nonlocal share
            self.release(share)  # decoding a photo may start again
            share = 0
            share = self.acquire(wanted, end)

        try:
            yield reserve
        except PhotoError as error:
            if isinstance(error.__cause__, Busy):
                raise error.__cause__ from None
            raise
        finally:
            if share >= LARGE:
                give_memory_back()
            self.release(share)

    def acquire(self, wanted: int, end: float) -> int:
        """Wait until a photo's bytes fit; return how many to release later, or raise Busy."""
        share = min(wanted, self.most)
        turn = object()
        with self._changed:
            self._asking.append(turn)
            try:
                left = end - time.monotonic()
                if not self._changed.wait_for(lambda: self._fits(turn, share), max(0, left)):
                    raise Busy("Other photos are using all the memory. Try again later.")
                self.taken += share
            finally:
                self._asking.remove(turn)
                self._changed.notify_all()
        return share

    def release(self, share: int) -> None:
        """Release bytes."""
        with self._changed:
            self.taken -= share
            self._changed.notify_all()

    def _fits(self, turn: object, share: int) -> bool:
        return self._asking[0] is turn and self.taken + share <= self.most


def give_memory_back() -> None:
    """Return free memory to the system; glibc would keep it for each decoding thread."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
