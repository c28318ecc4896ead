from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from starlette.exceptions import HTTPException

from vsearch.serving.api.examples import (
    BATCH,
    BATCH_REPLY,
    EMBED_REPLY,
    SEARCH_REPLY,
    SEARCHES,
    replies,
)
from vsearch.serving.api.photos import Region
from vsearch.serving.api.upload import Photo, region, wishes
from vsearch.serving.api.work import Work
from vsearch.serving.messages import (
    BatchReply,
    BatchRequest,
    EmbedReply,
    SearchReply,
    SearchRequest,
    Wishes,
)

MOST = 10_000  # hits of a batch
router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search/upload", responses=replies(SEARCH_REPLY))
async def search_by_photo(
    request: Request,
    photo: Photo,
    region: Annotated[Region | None, Depends(region)],
    wishes: Annotated[Wishes, Depends(wishes)],
) -> SearchReply:
    """Find the items that look most like a photo, or like the part of it in `x`, `y`, `w`, `h`.

    `curl -F photo=@shoe.jpg -F k=5 --form-string 'where=colour = red'
    http://127.0.0.1:8000/v1/search/upload`
    """
    work = Work(request)
    await work.check(wishes)
    vector = await work.embed(await photo.read(), region)
    return await work.search(vector[None], wishes, whole_photo=region is None)


@router.post("/search", responses=replies(SEARCH_REPLY))
async def search(
    request: Request, wanted: Annotated[SearchRequest, Body(openapi_examples=SEARCHES)]
) -> SearchReply:
    """Find items by examples or by an embedding.

    Examples are ids of items: like the `positive` ones and unlike the `negative` ones, which count
    half (Rocchio 1971); each may have a weight. They are left out of the hits. An `embedding` must
    be of the model that answers (see the fingerprint header); it is brought to unit length.
    """
    return await Work(request).answer(wanted)


@router.post("/search/batch", responses=replies(BATCH_REPLY))
async def search_batch(
    request: Request, wanted: Annotated[BatchRequest, Body(openapi_examples=BATCH)]
) -> BatchReply:
    """Do several searches, of 10,000 hits in all at most; the first that can't be done refuses them
    all.
    """
    if sum(one.k for one in wanted.searches) > MOST:
        raise HTTPException(422, f"The searches ask for more than {MOST:,} hits together.")
    work = Work(request)
    found = [await work.answer(one) for one in wanted.searches]
    return BatchReply(replies=[one.model_copy(update={"took_ms": work.took}) for one in found])


@router.post("/embed", responses=replies(EMBED_REPLY))
async def embed(
    request: Request, photo: Photo, region: Annotated[Region | None, Depends(region)]
) -> EmbedReply:
    """Return a photo's embedding: a unit vector, whose dot product with another one is their score."""
    work = Work(request)
    vector = await work.embed(await photo.read(), region)
    return EmbedReply(embedding=vector.tolist(), dim=len(vector), took_ms=work.took)
