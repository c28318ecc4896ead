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
    """There is no earlier bundle to return to."""


class Service:
    """What all requests share: the served bundle, the one before it, threads, metrics.

    `find_bundle` returns the bundle's folder, at the start and at each reload.
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
        # not asyncio's threads: the process would wait for them when it ends
        self.opening = WorkerThreads("open a bundle", 1, settings.max_waiting)
        self._swapping = asyncio.Lock()
        self._measure()

    async def reload(self) -> ServedBundle:
        """Open the bundle again and serve it; if that raises, the old one stays."""
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
        """Serve the previous bundle; a second call returns to this one."""
        async with self._swapping:
            if self.before is None:
                raise NothingBefore(
                    "No bundle was loaded since the start, so there is none to return to."
                )
            self._serve(self.before, "rollback")
            return self.now

    def close(self) -> None:
        """End all threads, without waiting for busy ones."""
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
    """Free a network that is no longer served; it is in reference cycles.

    The rest is frozen again, as in `serve`, so that the collector needn't scan it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
