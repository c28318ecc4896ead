from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vsearch.serving.api.opened import Opened
from vsearch.serving.api.problems import problem
from vsearch.serving.api.state import Service
from vsearch.serving.messages import Info

open_router = APIRouter(tags=["status"])  # without a key: for probes and Prometheus
router = APIRouter(prefix="/v1", tags=["status"])


@router.get("/info")
async def info(request: Request) -> Info:
    """Say what is served: model, index, counts, what filters can ask, measured quality."""
    return describe(request.scope["opened"])


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "alive"}


@open_router.get("/readyz", response_model=dict[str, str])
async def readyz(request: Request) -> Any:
    """Say whether requests should be sent here: a bundle is open, and the service is not about to
    stop.
    """
    service: Service = request.app.state.service
    if service.draining:
        return problem(503, "The service is stopping.", request.scope.get("request_id"))
    return {"status": "ready"}


@open_router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(request: Request) -> Response:
    """Return counts and times for Prometheus."""
    service: Service = request.app.state.service
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def describe(opened: Opened) -> Info:
    """Return what a bundle is, for clients."""
    bundle, manifest = opened.bundle, opened.bundle.manifest
    return Info(
        fingerprint=opened.fingerprint,
        generation=opened.generation,
        model={
            name: manifest[name] for name in ("backbone", "head", "preprocessing", "dim", "metric")
        },
        engine=opened.engine.name,
        precision=opened.precision,
        index={"class_path": manifest["index"]["class_path"], **bundle.index.describe()},
        items=len(bundle.items),
        labels=int(bundle.items["label"].nunique()),
        facets=opened.facets,
        quality={
            name: manifest[name] for name in ("metrics", "axes", "protocol") if name in manifest
        }
        | {
            "index": {
                name: manifest["index"][name] for name in QUALITY if name in manifest["index"]
            }
        },
        calibration=opened.calibration.describe() if opened.calibration else None,
        synthetic=bool(manifest.get("protocol", {}).get("synthetic")),
        explains=opened.explains,
        versions=manifest.get("model", {}).get("libraries", {}),
    )


QUALITY = ("recall_at_10", "latency", "bytes")
