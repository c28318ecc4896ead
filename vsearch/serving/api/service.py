import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path

from vsearch.serving.api.batching import Batcher
from vsearch.serving.api.decoding_budget import DecodingBudget
from vsearch.serving.api.metrics import Metrics
from vsearch.serving.api.served_bundle import ServedBundle, open_checked
from vsearch.serving.api.settings import Settings
from vsearch.serving.api.worker_threads import WorkerThreads

logger = logging.getLogger("vsearch.serving.api")


class NothingBefore(Exception):
    """No bundle was swapped out that could be put back."""


class Service:
    """What all requests share: the bundle that is served, the one before it, threads, metrics.

    `find_bundle` tells the bundle's folder, at the start and at each reload.
    """

    def __init__(self, find_bundle: Callable[[], Path], settings: Settings) -> None:
        self.find_bundle = find_bundle
        self.settings = settings
        self.metrics = Metrics()
        self.now = self._open()
        self.before: ServedBundle | None = None
        self.stopping = False
        self.batcher = Batcher(
            settings.max_batch,
            settings.max_waiting,
            settings.gather_ms / 1000,
            self.metrics.batches.observe,
        )
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)
        self.budget = DecodingBudget(settings.max_decoded_bytes)
        self.decoding = WorkerThreads("decode", settings.decode_threads, settings.max_waiting)
        self.thumbnails = WorkerThreads(
            "show a photo", settings.thumbnail_threads, settings.max_waiting
        )
        self.searching = WorkerThreads("search", settings.search_threads, settings.max_waiting)
        # not asyncio's own threads: the process would wait for them when it ends
        self.opening = WorkerThreads("open a bundle", 1, settings.max_waiting)
        self._swapping = asyncio.Lock()
        self._measure()

    async def reload(self) -> ServedBundle:
        """Open the bundle as it stands now and serve it; if that raises, the present one stays."""
        async with self._swapping:
            try:
                bundle = await self.opening.run(self._open)
            except Exception as error:
                self.metrics.reloads.labels("refused").inc()
                logger.error("reload refused", extra={"reason": str(error)})
                raise
            self._serve(bundle, "reload")
            del bundle
            await self.opening.run(_free_memory)
            return self.now

    async def rollback(self) -> ServedBundle:
        """Serve the bundle before the present one; another call comes back to this one."""
        async with self._swapping:
            if self.before is None:
                raise NothingBefore(
                    "Nothing was swapped in since the start: there is no bundle to put back."
                )
            self._serve(self.before, "rollback")
            return self.now

    def close(self) -> None:
        """Let all threads end; one that is at work is left behind."""
        self.batcher.close()
        self.decoding.close()
        self.thumbnails.close()
        self.searching.close()
        self.opening.close()

    def _open(self) -> ServedBundle:
        settings = self.settings
        bundle, checked = open_checked(
            self.find_bundle(),
            settings.photos_root,
            settings.precision,
            settings.runtime,
            settings.runtime_threads,
            settings.photo_folders,
            settings.one_view,
        )
        logger.info("bundle checked", extra={"bundle": str(bundle.folder), "checked": checked})
        if missing := bundle.missing_photos():
            logger.warning(missing)
        return bundle

    def _serve(self, bundle: ServedBundle, what: str) -> None:
        self.before = self.now
        self.now = bundle
        self.metrics.reloads.labels(what).inc()
        self._measure()
        which = {"fingerprint": bundle.fingerprint, "generation": bundle.generation}
        logger.info(what, extra=which)

    def _measure(self) -> None:
        self.metrics.bundle.clear()
        self.metrics.bundle.labels(self.now.fingerprint, str(self.now.generation)).set(1)
        self.metrics.items.set(len(self.now.searcher.items))


def _free_memory() -> None:
    """Free a network that is served no more, which is in cycles.

    What stays is frozen again, as `serve` does: the collector needn't look through it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
