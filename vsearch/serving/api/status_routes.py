from typing import Any

import pyarrow.compute as pc
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.api.service import Service
from vsearch.serving.messages import Info

MODEL = ("backbone", "head", "preprocessing", "dim", "metric")
QUALITY = ("metrics", "axes", "protocol")
INDEX_QUALITY = ("recall_at_10", "latency", "bytes")

open_router = APIRouter(tags=["status"])  # without a key: for probes and Prometheus
router = APIRouter(prefix="/v1", tags=["status"])


@router.get("/info")
async def info(request: Request) -> Info:
    """Describe what is served: model, index, counts, facets for filters, measured quality."""
    return describe(request.state.bundle)


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process is alive."""
    return {"status": "alive"}


@open_router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Answer whether requests should be sent here: not when the service is stopping."""
    service: Service = request.app.state.service
    if service.stopping:
        raise HTTPException(503, "The service is stopping.")
    return {"status": "ready"}


@open_router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(request: Request) -> Response:
    """Return counts and times for Prometheus."""
    service: Service = request.app.state.service
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def describe(bundle: ServedBundle) -> Info:
    """Describe a bundle for clients."""
    searcher = bundle.searcher
    manifest = searcher.manifest
    quality: dict[str, Any] = _some(manifest, QUALITY)
    quality["index"] = _some(manifest["index"], INDEX_QUALITY)
    return Info(
        fingerprint=bundle.fingerprint,
        generation=bundle.generation,
        model=_some(manifest, MODEL),
        runtime=bundle.runtime.name,
        precision=bundle.precision,
        index={"class_path": manifest["index"]["class_path"], **searcher.index.describe()},
        items=len(searcher.items),
        labels=int(pc.count_distinct(searcher.items["label"]).as_py()),
        facets=bundle.facets,
        quality=quality,
        calibration=bundle.calibration.describe() if bundle.calibration else None,
        synthetic=bool(manifest.get("protocol", {}).get("synthetic")),
        explains=bundle.explains,
        places=bundle.places,
        text=searcher.open_text is not None,
        versions=manifest.get("model", {}).get("libraries", {}),
    )


def _some(found: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}
