from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from vsearch.data.photos import PhotoError
from vsearch.serving.api.manual_examples import (
    ID,
    ITEM,
    ITEMS_REPLY,
    SEARCH_REPLY,
    WHERE,
    shown,
)
from vsearch.serving.api.photos import thumbnail
from vsearch.serving.api.replies import items_at
from vsearch.serving.api.steps import RequestSteps, Steps
from vsearch.serving.messages import (
    MAX_K,
    EachPhoto,
    Expand,
    Item,
    ItemsReply,
    SearchOptions,
    SearchReply,
)

router = APIRouter(prefix="/v1", tags=["items"])
Id = Annotated[
    str, Path(description="An item's id; a / in it may stay or be written %2F.", examples=[ID])
]
AS_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/gallery", responses=shown(ITEMS_REPLY))
async def some_items(
    steps: RequestSteps,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
) -> ItemsReply:
    """Return some items in the order of the index, starting at `offset`, and the total number."""
    total = len(steps.bundle.searcher.items)
    rows = range(min(offset, total), min(offset + limit, total))
    return ItemsReply(items=items_at(steps.bundle, steps.root_path, rows), total=total)


@router.get("/items/{id:path}/similar", responses=shown(SEARCH_REPLY))
async def similar(
    steps: RequestSteps,
    id: Id,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
    where: Annotated[str | None, Query(max_length=2000, examples=[WHERE])] = None,
    min_score: Annotated[float | None, Query(ge=-1, le=1)] = None,
    group_by: Annotated[str | None, Query(max_length=200)] = None,
    expand: Annotated[Expand, Query()] = 0,
    each_photo: Annotated[EachPhoto, Query()] = False,
) -> SearchReply:
    """Find the items that look most like an item, without the item or its product."""
    row = steps.position(id)
    query = await steps.service.searching.run(steps.bundle.searcher.kept_vectors, [row])
    options = SearchOptions(
        k=k,
        where=where or None,
        min_score=min_score,
        group_by=group_by or None,
        expand=expand,
        each_photo=each_photo,
    )
    return await steps.search(query, options, [row], calibrated=False)


@router.get("/items/{id:path}/product", responses=shown(ITEMS_REPLY))
async def product(
    steps: RequestSteps, id: Id, limit: Annotated[int, Query(ge=1, le=MAX_K)] = 10
) -> ItemsReply:
    """Return the photos of an item's product, the item included, and their number."""
    row = steps.position(id)
    rows = await steps.service.searching.run(steps.bundle.searcher.product, row)
    items = items_at(steps.bundle, steps.root_path, rows[:limit].tolist())
    return ItemsReply(items=items, total=len(rows))


@router.get("/items/{id:path}/image", response_class=Response, responses=AS_JPEG)
async def image(
    steps: RequestSteps, id: Id, size: Annotated[int, Query(ge=16, le=2048)] = 256
) -> Response:
    """Return an item's photo as a JPEG of at most `size` pixels a side.

    If the item has a box, it is only that part of the photo.
    """
    row = steps.position(id)
    if steps.bundle.photo(row) is None:
        raise HTTPException(404, "This item has no photo: it was added by its embedding.")
    try:
        data = await steps.service.thumbnails.run(_thumbnail, steps, row, size)
    except PhotoError as error:  # its message names the path
        detail = "This item's photo is missing or can't be read any more."
        raise HTTPException(404, detail) from error
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/items/{id:path}", responses=shown(ITEM))
async def one_item(steps: RequestSteps, id: Id) -> Item:
    """Return an item."""
    return items_at(steps.bundle, steps.root_path, [steps.position(id)])[0]


def _thumbnail(steps: Steps, row: int, size: int) -> bytes:
    bundle = steps.bundle
    most = steps.service.settings.max_pixels
    with steps.service.budget.shared(steps.end) as reserve:
        return thumbnail(bundle.open_photo(row), bundle.box(row), size, most, reserve)
