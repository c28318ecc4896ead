from typing import Annotated

from fastapi import APIRouter, Form
from starlette.exceptions import HTTPException

from vsearch.data.photos import PhotoError, open_photo
from vsearch.models.score_maps import split_score
from vsearch.serving.api.forms import PhotoFile, PhotoRegion
from vsearch.serving.api.manual_examples import EXPLAIN_REPLY, ID, shown
from vsearch.serving.api.photos import SeenPhoto, see
from vsearch.serving.api.problems import described
from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.api.steps import RequestSteps, Steps
from vsearch.serving.messages import ExplainReply, Heatmap, ItemId

CANNOT = "This network's scores can't be split over positions: see `explains` in /v1/info."
COMPARED = "The item to compare the photo with."
router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/explain", responses=shown(EXPLAIN_REPLY) | {501: described(CANNOT)})
async def why_similar(
    photo: PhotoFile,
    id: Annotated[ItemId, Form(description=COMPARED, examples=[ID])],
    region: PhotoRegion,
    steps: RequestSteps,
) -> ExplainReply:
    """Split the score of a photo and an item over the positions of both.

    The parts of each heatmap sum to the score.
    """
    row = steps.position(id)
    if not steps.bundle.explains:
        raise HTTPException(501, CANNOT)
    query = await steps.see(await photo.read(), region)
    item = await steps.service.decoding.run(_item_photo, steps, row)
    # in search threads, so that the network's thread continues with its batches
    return await steps.service.searching.run(_explain, steps.bundle, id, query, item)


def _explain(bundle: ServedBundle, id: str, query: SeenPhoto, item: SeenPhoto) -> ExplainReply:
    maps = split_score(bundle.runtime, query.square, item.square)
    of_query = Heatmap(parts=maps.query.tolist(), box=query.box)
    of_item = Heatmap(parts=maps.item.tolist(), box=item.box)
    return ExplainReply(id=id, score=maps.score, query=of_query, item=of_item)


def _item_photo(steps: Steps, row: int) -> SeenPhoto:
    bundle = steps.bundle
    wanted = bundle.runtime.preprocessing
    most = steps.service.settings.max_pixels
    try:
        with steps.service.budget.shared(steps.end) as reserve:
            photo = open_photo(
                bundle.open_photo(row),
                bundle.box(row),
                wanted.fill,
                most,
                wanted.size,
                reserve=reserve,
            )
            return see(photo, wanted)
    except PhotoError as error:
        raise HTTPException(404, "This item has no readable photo.") from error
