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
from vsearch.serving.api import (
    admin_routes,
    explain_routes,
    item_routes,
    search_routes,
    status_routes,
)
from vsearch.serving.api.access import DESCRIBED
from vsearch.serving.api.guard import Guard
from vsearch.serving.api.headers import FINGERPRINT_HEADER, REQUEST_ID_HEADER
from vsearch.serving.api.problems import described, handle
from vsearch.serving.api.service import Service
from vsearch.serving.api.settings import Settings
from vsearch.serving.api.unknown_parameters import refuse_unknown

logger = logging.getLogger("vsearch.serving.api")
DESCRIPTION = """Finds the items of a catalog that look most like a photo.

- **Scores** are cosines, -1..1; higher is better. `similarity_percent` is the score in percent.
- **Errors** are `application/problem+json`; `detail` says what was wrong and what to do.
- `X-Vsearch-Fingerprint` on each reply names its model; don't mix embeddings of several models.
- `X-Request-ID` names the request in the service's log; send your own to find it there.
- **Filters** (`where`): `gender = women and not label = cap`, `colour in (red, "navy blue")`,
  `pattern is missing`, `price < 30`; the facets of `/v1/info` list columns and values.
- **429** and **503** say in `Retry-After` when to try again.
"""
ERRORS: dict[int | str, str] = {
    400: "The request can't be read",
    401: "No valid key",
    404: "No such item",
    408: "The body took too long to arrive",
    413: "The body is too long",
    415: "The file isn't a photo",
    422: "Something in the request is invalid: the detail says what",
    429: "Too many requests with this key",
    503: "Too many requests are waiting; Retry-After says when to try again",
}
NOT_SWAPPED = "It failed; the served bundle stays"


def create_app(
    bundle_folder: Path | Callable[[], Path], settings: Settings | None = None
) -> FastAPI:
    """Return the service of a bundle, opened and checked.

    Args:
        bundle_folder: the bundle's folder, or a function that returns it at each reload.
        settings: default: from the environment.

    Raises:
        BundleError: the bundle can't be served.
    """
    settings = settings or Settings()
    find_bundle = bundle_folder if callable(bundle_folder) else lambda: bundle_folder
    service = Service(find_bundle, settings)
    app = FastAPIOffline(
        title="vsearch",
        description=DESCRIPTION,
        lifespan=_lifespan,
        root_path=settings.root_path,
        redoc_url=None,
        # a redirect would repeat the host name that the client sent
        redirect_slashes=False,
    )
    app.state.service = service
    handle(app)
    _add_routes(app, settings)

    app.add_middleware(Guard, service=service)
    if settings.cors_origins:  # outside the guard, so that web pages can read its refusals
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["X-API-Key", "Authorization", "Content-Type"],
            expose_headers=[FINGERPRINT_HEADER, REQUEST_ID_HEADER, "Retry-After"],
        )
    return app


def _add_routes(app: FastAPI, settings: Settings) -> None:
    errors: dict[int | str, dict[str, Any]] = {
        status: described(text) for status, text in ERRORS.items()
    }
    checked = [*DESCRIBED, Depends(refuse_unknown)]
    for routes in (search_routes, explain_routes, item_routes, status_routes):
        app.include_router(routes.router, dependencies=checked, responses=errors)
    app.include_router(status_routes.open_router)
    if settings.admin_keys:
        refusals: dict[int | str, dict[str, Any]] = {
            401: errors[401],
            409: described(NOT_SWAPPED),
            429: errors[429],
        }
        app.include_router(admin_routes.router, dependencies=DESCRIBED, responses=refusals)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    tasks = set[asyncio.Task[None]]()

    def reload() -> None:
        task = asyncio.create_task(_reload(service))
        tasks.add(task)  # otherwise it may be collected while it runs
        task.add_done_callback(tasks.discard)

    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    yield
    service.stopping = True
    service.close()


async def _reload(service: Service) -> None:
    try:
        await service.reload()
    except (BundleError, OSError):
        logger.error("SIGHUP: the served bundle stays")
