import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from vsearch.serving.api.problems import Busy

P = ParamSpec("P")
T = TypeVar("T")


class WorkerThreads:
    """Threads for blocking work, named after it, for which no more than `max_waiting` calls may
    wait.

    A call counts until it ends, even if its request was given up: a thread can't be interrupted.
    (anyio's CapacityLimiter would forget it.)
    """

    def __init__(self, what: str, threads: int, max_waiting: int) -> None:
        self.what = what
        self.most = threads + max_waiting
        self.pending = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=what)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns, called in one of the threads, or raise Busy."""
        if self.pending >= self.most:
            raise Busy(f"{self.pending} requests wait to {self.what} already. Try again later.")
        loop = asyncio.get_running_loop()
        self.pending += 1
        future = self._threads.submit(function, *args, **kwargs)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the threads end; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self) -> None:
        self.pending -= 1
