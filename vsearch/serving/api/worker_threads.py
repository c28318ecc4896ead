import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from vsearch.serving.api.problems import Busy

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class _Call:
    """A waiting function call."""

    function: Callable[[], Any]
    result: "Future[Any]" = field(default_factory=Future)


class WorkerThreads:
    """Threads for blocking work, named after it, with at most `max_waiting` waiting calls.

    A call counts until it ends, even if its request timed out: a thread can't be interrupted.
    (anyio's CapacityLimiter would forget it.) When the process ends, it doesn't wait for the
    threads. (With a ThreadPoolExecutor it would, however long they take.)
    """

    def __init__(self, what: str, threads: int, max_waiting: int) -> None:
        self.what = what
        self.threads = threads
        self.most = threads + max_waiting
        self.pending = 0
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()  # None: a thread's end
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{what}-{number}", daemon=True).start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns, called in one of the threads, or raise Busy."""
        if self.pending >= self.most:
            raise Busy(f"{self.pending} requests are waiting to {self.what}. Try again later.")
        loop = asyncio.get_running_loop()
        self.pending += 1
        call = _Call(partial(function, *args, **kwargs))
        call.result.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        self._calls.put(call)
        found: T = await asyncio.wrap_future(call.result)
        return found

    def close(self) -> None:
        """Drop waiting calls and end the threads, without waiting for them."""
        with contextlib.suppress(queue.Empty):
            while call := self._calls.get_nowait():
                call.result.cancel()
        for _ in range(self.threads):
            self._calls.put(None)

    def _work(self) -> None:
        while self._call_next():
            pass

    def _call_next(self) -> bool:
        """Call the next function; return False at the end.

        It returns after each call, so that no variable keeps a replaced bundle in memory.
        """
        call = self._calls.get()
        if call is None:
            return False
        if not call.result.set_running_or_notify_cancel():
            return True
        try:
            found = call.function()
        except BaseException as error:  # the caller handles it: the thread must not end
            call.result.set_exception(error)
        else:
            call.result.set_result(found)
        return True

    def _ended(self) -> None:
        self.pending -= 1
