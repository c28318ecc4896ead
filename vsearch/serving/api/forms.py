"""Fields of an upload's form: a photo, a region of it, and search options."""

from typing import Annotated, Any

from fastapi import Depends, File, Form, UploadFile
from starlette.exceptions import HTTPException

from vsearch.search.query_by_example import TEXT_WEIGHT
from vsearch.serving.api.manual_examples import WHERE
from vsearch.serving.messages import (
    EachPhoto,
    Expand,
    K,
    Parts,
    PhotoOptions,
    Region,
    Score,
    Text,
    TextWeight,
)

FILE = "JPEG, PNG, WebP, GIF or BMP; its first bytes count, not its name."
LEFT = "Left of the region, pixels of the upright photo."
GROUP_BY = "Return only the best of items that are equal in this column."
EMPTY = [""]  # the manual sends this: an empty form field counts as missing
LARGEST = 1e6  # pixels


def _pixels(description: str, ge: float | None = None, gt: float | None = None) -> Any:
    return Form(ge=ge, gt=gt, le=LARGEST, description=description, examples=EMPTY)


async def region(
    x: Annotated[float | None, _pixels(LEFT, ge=0)] = None,
    y: Annotated[float | None, _pixels("Its top.", ge=0)] = None,
    w: Annotated[float | None, _pixels("Its width.", gt=0)] = None,
    h: Annotated[float | None, _pixels("Its height.", gt=0)] = None,
) -> Region | None:
    """Return the region of the photo; None: all of it."""
    if x is None and y is None and w is None and h is None:
        return None
    if x is None or y is None or w is None or h is None:
        raise HTTPException(422, "A region needs all of x, y, w, h.")
    return Region(x, y, w, h)


async def search_options(
    k: Annotated[K, Form(examples=[5])] = 10,
    where: Annotated[
        str | None,
        Form(max_length=2000, description="A filter, as described above.", examples=[WHERE]),
    ] = None,
    min_score: Annotated[Score | None, Form(examples=EMPTY)] = None,
    group_by: Annotated[
        str | None, Form(max_length=200, description=GROUP_BY, examples=EMPTY)
    ] = None,
    expand: Annotated[Expand, Form(examples=[0])] = 0,
    each_photo: Annotated[EachPhoto, Form(examples=[False])] = False,
    text: Annotated[Text | None, Form(examples=EMPTY)] = None,
    text_weight: Annotated[TextWeight, Form(examples=[TEXT_WEIGHT])] = TEXT_WEIGHT,
    parts: Annotated[Parts, Form(examples=[False])] = False,
) -> PhotoOptions:
    """Return the options of a search by photo, text, or both."""
    return PhotoOptions(
        k=k,
        where=where or None,
        min_score=min_score,
        group_by=group_by or None,
        expand=expand,
        each_photo=each_photo,
        text=text or None,
        text_weight=text_weight,
        parts=parts,
    )


PhotoFile = Annotated[UploadFile, File(description=FILE)]
PhotoOrNone = Annotated[UploadFile | None, File(description=FILE)]
PhotoRegion = Annotated[Region | None, Depends(region)]
FormOptions = Annotated[PhotoOptions, Depends(search_options)]
