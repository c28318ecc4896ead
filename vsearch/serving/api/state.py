import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from vsearch.serving.api.batching import Batcher
from vsearch.serving.api.metrics import Metrics
from vsearch.serving.api.opened import Opened, open_checked
from vsearch.serving.api.pools import Pool
from vsearch.serving.api.settings import Settings

logger = logging.getLogger("vsearch.serving.api")


REMEDY = "start the service where the items' paths hold, or name the folder that they start from with --photos-root"


class NothingBefore(Exception):
    """No bundle was swapped out that could be put back."""


class Service:
    """What all requests share: the bundle that is served now, the one before it, queues, threads,
    metrics.

    Args:
        source: tells the folder of the bundle, at the start and at each reload.
        settings: how it is run.

    Raises:
        BundleError: the bundle can't be served; the message says why.
    """

    def __init__(self, source: Callable[[], Path], settings: Settings) -> None:
        self.source, self.settings, self.metrics = source, settings, Metrics()
        if settings.torch_threads:
            torch.set_num_threads(settings.torch_threads)
        self.before: Opened | None = None
        self.now = self._open()
        self.draining = False
        self.batcher = Batcher(
            settings.max_batch,
            settings.max_waiting,
            settings.gather_ms / 1000,
            self.metrics.batches.observe,
        )
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)
        self.decoding = Pool("decode", settings.decode_threads, settings.max_waiting)
        self.searching = Pool("search", settings.search_threads, settings.max_waiting)
        self._swap = asyncio.Lock()
        self._tell()

    async def reload(self) -> Opened:
        """Open the bundle as it stands now and serve it; if that fails, the one that is served
        stays.

        Raises:
            BundleError: it can't be served.
        """
        async with self._swap:
            try:
                opened = await asyncio.to_thread(self._open)
            except Exception as error:
                self.metrics.reloads.labels("refused").inc()
                logger.error("reload refused", extra={"reason": str(error)})
                raise
            self._serve(opened, "reload")
            del opened
            await asyncio.to_thread(_freed)
            return self.now

    async def rollback(self) -> Opened:
        """Serve the bundle before the present one again; another call comes back to this one.

        Raises:
            NothingBefore: there was none.
        """
        async with self._swap:
            if self.before is None:
                raise NothingBefore(
                    "Nothing was swapped in since the start: there is no bundle to put back."
                )
            return self._serve(self.before, "rollback")

    def close(self) -> None:
        """End all threads."""
        self.batcher.close()
        self.decoding.close()
        self.searching.close()

    def _open(self) -> Opened:
        settings = self.settings
        opened, checked = open_checked(
            self.source(), settings.photos_root, settings.precision, settings.engine
        )
        logger.info("bundle checked", extra={"bundle": str(opened.folder), "checked": checked})
        there, looked_for = opened.found_photos()
        if there < looked_for:
            below = opened.photos_root or Path.cwd()
            logger.warning(
                f"only {there} of {looked_for} items' photos are there, below {below}: {REMEDY}"
            )
        return opened

    def _serve(self, opened: Opened, what: str) -> Opened:
        self.before, self.now = self.now, opened
        self.metrics.reloads.labels(what).inc()
        self._tell()
        logger.info(
            what, extra={"fingerprint": opened.fingerprint, "generation": opened.generation}
        )
        return opened

    def _tell(self) -> None:
        self.metrics.bundle.clear()
        self.metrics.bundle.labels(self.now.fingerprint, str(self.now.generation)).set(1)
        self.metrics.items.set(len(self.now.bundle.items))


def _freed() -> None:
    """Free a network that is served no more (it is in cycles); what stays is not looked through
    again, see `serve`.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
