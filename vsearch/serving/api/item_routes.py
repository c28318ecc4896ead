from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from vsearch.data.photos import PhotoError
from vsearch.serving.api.examples import ID, ITEM, ITEMS_REPLY, SEARCH_REPLY, WHERE, replies
from vsearch.serving.api.photos import thumbnail
from vsearch.serving.api.replies import item
from vsearch.serving.api.work import Work
from vsearch.serving.messages import MAX_K, Item, ItemsReply, SearchReply, Wishes

router = APIRouter(prefix="/v1", tags=["items"])
Id = Annotated[
    str, Path(description="An item's id; a / in it may stay or be written %2F.", examples=[ID])
]
AS_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/gallery", responses=replies(ITEMS_REPLY))
async def some_items(
    request: Request,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
) -> ItemsReply:
    """Return some items in the order of the index, from the `offset`-th on, and how many there are."""
    work = Work(request)
    opened = work.opened
    total = len(opened.bundle.items)
    found = [
        item(opened, work.root, row)
        for row in range(min(offset, total), min(offset + limit, total))
    ]
    return ItemsReply(items=found, total=total)


@router.get("/items/{id:path}/similar", responses=replies(SEARCH_REPLY))
async def similar(
    request: Request,
    id: Id,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
    where: Annotated[str | None, Query(max_length=2000, examples=[WHERE])] = None,
    min_score: Annotated[float | None, Query(ge=-1, le=1)] = None,
    group_by: Annotated[str | None, Query(max_length=200)] = None,
) -> SearchReply:
    """Find the items that look most like an item; itself left out."""
    work = Work(request)
    row = work.position(id)
    vector = await work.service.searching.run(work.opened.bundle.kept_vectors, [row])
    wishes = Wishes(k=k, where=where or None, min_score=min_score, group_by=group_by or None)
    return await work.search(vector, wishes, [row], whole_photo=False)


@router.get("/items/{id:path}/image", response_class=Response, responses=AS_JPEG)
async def image(
    request: Request, id: Id, size: Annotated[int, Query(ge=16, le=2048)] = 256
) -> Response:
    """Return an item's photo as a JPEG of at most `size` pixels a side; where the catalog has a
    box, that part.
    """
    work = Work(request)
    row = work.position(id)
    path = work.opened.photo(row)
    if path is None:
        raise HTTPException(404, "This item has no photo: it was added by its embedding.")
    box = work.opened.box(row)
    try:
        data = await work.service.decoding.run(
            thumbnail, str(path), box, size, work.service.settings.max_pixels
        )
    except PhotoError as error:  # its text has the path, which is nobody's business
        raise HTTPException(
            404, "This item's photo is missing or can't be read any more."
        ) from error
    return Response(
        data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
    )


@router.get("/items/{id:path}", responses=replies(ITEM))
async def one_item(request: Request, id: Id) -> Item:
    """Return what is known of an item."""
    work = Work(request)
    return item(work.opened, work.root, work.position(id))
