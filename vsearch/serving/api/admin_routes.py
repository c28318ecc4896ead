from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from vsearch.errors import BundleError
from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.api.service import NothingBefore, Service
from vsearch.serving.api.status_routes import describe
from vsearch.serving.messages import Info

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.post("/reload")
async def reload(request: Request) -> Info:
    """Open the bundle again, check it and serve it.

    Running requests finish with the old bundle. If the new one can't be served, 409 says why, and
    the old one stays.
    """
    service: Service = request.app.state.service
    try:
        return _answer(request, await service.reload())
    except (BundleError, OSError) as error:
        raise HTTPException(409, str(error)) from error


@router.post("/rollback")
async def rollback(request: Request) -> Info:
    """Serve the bundle from before the last reload again."""
    service: Service = request.app.state.service
    try:
        return _answer(request, await service.rollback())
    except NothingBefore as error:
        raise HTTPException(409, str(error)) from error


def _answer(request: Request, bundle: ServedBundle) -> Info:
    request.state.bundle = bundle  # the fingerprint in the header is the new one
    return describe(bundle)
