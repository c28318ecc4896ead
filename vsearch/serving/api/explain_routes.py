from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.exceptions import HTTPException
from torch import Tensor

from vsearch.data.photos import PhotoError, normalise, open_photo
from vsearch.models.embedder import Embedder
from vsearch.search.explain import explain
from vsearch.serving.api.examples import EXPLAIN_REPLY, ID, replies
from vsearch.serving.api.photos import Region, Seen, see
from vsearch.serving.api.problems import described
from vsearch.serving.api.upload import Photo, region
from vsearch.serving.api.work import Work
from vsearch.serving.messages import ExplainReply, Heatmap, ItemId

CANNOT = "This network's scores can't be split over positions: see `explains` in /v1/info."
router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/explain", responses=replies(EXPLAIN_REPLY) | {501: described(CANNOT)})
async def why_similar(
    request: Request,
    photo: Photo,
    id: Annotated[
        ItemId, Form(description="The item that the photo is compared with.", examples=[ID])
    ],
    region: Annotated[Region | None, Depends(region)],
) -> ExplainReply:
    """Split the score of a photo and an item over the positions of both: each heatmap's parts sum
    to the score.
    """
    work = Work(request)
    row = work.position(id)
    if not work.opened.explains:
        raise HTTPException(501, CANNOT)
    query = await work.see(await photo.read(), region)
    theirs = await work.service.decoding.run(_item, work, row)
    pool = (
        work.service.searching
    )  # two of them at most: the network's own thread goes on with its batches
    score, ours, others = await pool.run(_explained, work.opened.bundle.embedder, query, theirs)
    return ExplainReply(
        id=id, score=score, query=_heatmap(ours, query), item=_heatmap(others, theirs)
    )


def _explained(embedder: Embedder, query: Seen, item: Seen) -> tuple[float, Tensor, Tensor]:
    photos = [normalise(seen.square, embedder.preprocessing) for seen in (query, item)]
    return explain(embedder, *photos)


def _item(work: Work, row: int) -> Seen:
    path, preprocessing = work.opened.photo(row), work.opened.bundle.embedder.preprocessing
    try:
        if path is None:
            raise PhotoError("none")
        limit = work.service.settings.max_pixels
        photo = open_photo(
            path, work.opened.box(row), preprocessing.fill, limit, preprocessing.size
        )
    except PhotoError as error:
        raise HTTPException(404, "This item has no photo that can be read.") from error
    return see(photo, preprocessing)


def _heatmap(parts: Tensor, seen: Seen) -> Heatmap:
    return Heatmap(parts=parts.tolist(), box=seen.box)
