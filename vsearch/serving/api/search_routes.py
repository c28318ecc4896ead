from typing import Annotated

from fastapi import APIRouter, Body
from starlette.exceptions import HTTPException

from vsearch.search.query_by_example import with_text
from vsearch.serving.api.forms import FormOptions, PhotoFile, PhotoOrNone, PhotoRegion
from vsearch.serving.api.manual_examples import (
    BATCH,
    BATCH_REPLY,
    EMBED_REPLY,
    SEARCH_REPLY,
    SEARCHES,
    shown,
)
from vsearch.serving.api.steps import RequestSteps
from vsearch.serving.messages import (
    BatchReply,
    BatchRequest,
    EmbedReply,
    SearchReply,
    SearchRequest,
)

MAX_BATCH_HITS = 10_000
router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search/upload", responses=shown(SEARCH_REPLY))
async def search_by_photo(
    region: PhotoRegion, options: FormOptions, steps: RequestSteps, photo: PhotoOrNone = None
) -> SearchReply:
    """Find the items that look most like a photo, or like its region `x`, `y`, `w`, `h`.

    A `text` is mixed into the query, or is the query where no photo is sent. With `parts`, parts of
    the photo or region are searched with too.

    `curl -F photo=@shoe.jpg -F k=5 --form-string 'where=colour = red'
    http://127.0.0.1:8000/v1/search/upload`
    """
    await steps.check(options)
    if photo is None:
        if options.text is None or region is not None or options.parts:
            raise HTTPException(422, "Send a photo, or a text without a region and parts.")
        words = await steps.embed_text(options.text)
        return await steps.search(words[None], options, calibrated=False)

    embed = steps.embed_parts if options.parts else steps.embed
    query = await embed(await photo.read(), region)
    if options.text is not None:
        words = await steps.embed_text(options.text)
        query = with_text(query, words, options.text_weight)
    calibrated = region is None and options.text is None and not options.parts
    return await steps.search(query, options, calibrated=calibrated)


@router.post("/search", responses=shown(SEARCH_REPLY))
async def search(
    wanted: Annotated[SearchRequest, Body(openapi_examples=SEARCHES)], steps: RequestSteps
) -> SearchReply:
    """Find items by examples, by an embedding or by a text.

    Examples are ids of items: the hits are like the `positive` ones and unlike the `negative` ones,
    which count half (Rocchio 1971); each may have a weight. The hits leave examples out. An
    `embedding` must be of the served model (see the fingerprint header); it is normalised. A
    `text` is mixed into the query, or is the only positive example.
    """
    return await steps.search_examples(wanted)


@router.post("/search/batch", responses=shown(BATCH_REPLY))
async def search_batch(
    wanted: Annotated[BatchRequest, Body(openapi_examples=BATCH)], steps: RequestSteps
) -> BatchReply:
    """Do several searches, for at most 10,000 hits in all, including those for `expand`.

    If one is invalid, all are refused.
    """
    if sum(one.k + one.expand for one in wanted.searches) > MAX_BATCH_HITS:
        detail = f"The searches together ask for more than {MAX_BATCH_HITS:,} hits."
        raise HTTPException(422, detail)
    replies = [await steps.search_examples(one) for one in wanted.searches]
    for reply in replies:
        reply.took_ms = steps.took  # of the whole batch
    return BatchReply(replies=replies)


@router.post("/embed", responses=shown(EMBED_REPLY))
async def embed(photo: PhotoFile, region: PhotoRegion, steps: RequestSteps) -> EmbedReply:
    """Return a photo's embedding: a unit vector.

    The dot product of two embeddings is their score.
    """
    embedding = (await steps.embed(await photo.read(), region))[0]
    return EmbedReply(embedding=embedding.tolist(), dim=len(embedding), took_ms=steps.took)
