import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from vsearch.errors import BundleError
from vsearch.serving.api.access import DESCRIBED
from vsearch.serving.api.admin_routes import router as admin
from vsearch.serving.api.explain_routes import router as explaining
from vsearch.serving.api.guard import Guard
from vsearch.serving.api.item_routes import router as items
from vsearch.serving.api.problems import described, handle
from vsearch.serving.api.search_routes import router as searches
from vsearch.serving.api.settings import Settings
from vsearch.serving.api.state import Service
from vsearch.serving.api.status_routes import open_router as probes
from vsearch.serving.api.status_routes import router as status
from vsearch.serving.api.strict import only_known
from vsearch.serving.messages import FINGERPRINT_HEADER, REQUEST_ID_HEADER

logger = logging.getLogger("vsearch.serving.api")
ERRORS = {
    400: "The request can't be read",
    401: "No valid key",
    404: "No such item",
    408: "The body took too long to arrive",
    413: "The body is too long",
    415: "The file is no photo",
    422: "Something in the request makes no sense: the detail says what",
    429: "Too many requests of this key",
    503: "Too much is waiting; Retry-After says when to try again",
}


def create_app(
    bundle_folder: Path | Callable[[], Path], settings: Settings | None = None
) -> FastAPI:
    """Return the service of a bundle, which has been opened and checked.

    Args:
        bundle_folder: where the bundle is, or what tells so, asked again at each reload.
        settings: how it is run; by default from the environment.

    Raises:
        BundleError: the bundle can't be served; the message says which part is missing, damaged or
            foreign.
    """
    settings = settings or Settings()
    source = bundle_folder if callable(bundle_folder) else lambda: bundle_folder
    service = Service(source, settings)
    app = FastAPIOffline(
        title="vsearch",
        description=DESCRIPTION,
        lifespan=_lifespan,
        root_path=settings.root_path.rstrip("/"),
        redoc_url=None,
        # an answer that nobody is told of, with the address that a client called the host by
        redirect_slashes=False,
    )
    app.state.service = service
    handle(app, settings.retry_after_s)
    for router in (searches, explaining, items, status):
        app.include_router(
            router, dependencies=[*DESCRIBED, Depends(only_known)], responses=_errors()
        )
    app.include_router(probes)
    if settings.admin_keys:
        errors = _errors(401, 429) | {
            409: described("It can't be done; the bundle that is served stays")
        }
        app.include_router(admin, dependencies=DESCRIBED, responses=errors)
    app.add_middleware(Guard, service=service)
    if settings.cors_origins:  # around the guard: else web pages couldn't read what it refuses
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type"],
            expose_headers=[FINGERPRINT_HEADER, REQUEST_ID_HEADER, "Retry-After"],
        )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    tasks = set[asyncio.Task[None]]()

    def reload() -> None:
        task = asyncio.create_task(_reload(service))
        tasks.add(task)  # else it may be collected while it runs
        task.add_done_callback(tasks.discard)

    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    yield
    service.draining = True
    service.close()


async def _reload(service: Service) -> None:
    try:
        await service.reload()
    except (BundleError, OSError):
        logger.error("SIGHUP: the bundle that is served stays")


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: described(text)
        for status, text in ERRORS.items()
        if not statuses or status in statuses
    }


DESCRIPTION = """Finds the items of a catalog that look most like a photo.

- **Scores** are cosines, -1..1; higher is better. `similarity_percent` is the score in percent.
- **Errors** are `application/problem+json`; `detail` says what was wrong and what to do.
- `X-Vsearch-Fingerprint` on each reply names the model that answered; those of different ones don't mix.
- `X-Request-ID` names the request in the service's log; send one of your own to find it there.
- **Filters** (`where`): `gender = women and not label = cap`, `colour in (red, "navy blue")`, `pattern is missing`,
  `price < 30`; the facets of `/v1/info` say what can be asked. **429** and **503** say in
  `Retry-After` when to come again.
"""
