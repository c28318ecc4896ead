from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from vsearch.serving.client.failures import unfit
from vsearch.serving.messages import (
    BatchReply,
    BatchRequest,
    EmbedReply,
    Example,
    ExplainReply,
    Info,
    Item,
    ItemsReply,
    SearchReply,
    SearchRequest,
)

Ids = (
    Sequence[str] | Mapping[str, float]
)  # of items; a mapping gives each its weight, else all weigh 1
Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Box:
    """A region of the upright photo, in pixels: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float


class Wishes(TypedDict, total=False):
    """What all searches take, as keyword arguments; `schemas.Wishes` says what they mean."""

    k: int
    where: str | None
    min_score: float | None
    group_by: str | None


@dataclass(frozen=True)
class Call(Generic[Reply]):
    """One request: what is asked for, and what it is answered with.

    Attributes:
        reply: the message that a good answer holds.
        query: parameters after the `?`.
        body: a message, sent as JSON.
        photo: the bytes of a photo, sent as a file with `form` beside it.
    """

    method: str
    path: str
    reply: type[Reply]
    query: dict[str, Any] = field(default_factory=dict)
    body: BaseModel | None = None
    photo: bytes | None = None
    form: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """What httpx takes for it."""
        found: dict[str, Any] = {"params": self.query} if self.query else {}
        if self.body is not None:
            found["json"] = self.body.model_dump(exclude_defaults=True)
        if self.photo is not None:
            found["data"] = self.form
            found["files"] = {"photo": ("photo", self.photo, "application/octet-stream")}
        return found


def search_photo(photo: bytes, box: Box | None, wishes: Wishes) -> Call[SearchReply]:
    """Ask for the items that look like a photo, or like the part of it in `box`."""
    return Call(
        "POST",
        "/v1/search/upload",
        SearchReply,
        photo=photo,
        form=_given({**_sides(box), **wishes}),
    )


def search(
    positive: Ids, negative: Ids, embedding: Sequence[float] | None, wishes: Wishes
) -> Call[SearchReply]:
    """Ask for the items near some examples and away from others, or near an embedding."""
    vector = None if embedding is None else list(embedding)
    try:
        request = SearchRequest(
            positive=_examples(positive), negative=_examples(negative), embedding=vector, **wishes
        )
    except ValidationError as error:
        raise unfit(error) from error
    return Call("POST", "/v1/search", SearchReply, body=request)


def batch(searches: Sequence[SearchRequest]) -> Call[BatchReply]:
    """Ask for several searches at once."""
    try:
        request = BatchRequest(searches=list(searches))
    except ValidationError as error:
        raise unfit(error) from error
    return Call("POST", "/v1/search/batch", BatchReply, body=request)


def similar(item: str, wishes: Wishes) -> Call[SearchReply]:
    """Ask for the items that look like an item."""
    return Call("GET", item_path(item) + "/similar", SearchReply, _given(wishes))


def item(item: str) -> Call[Item]:
    """Ask for an item."""
    return Call("GET", item_path(item), Item)


def items(offset: int, limit: int) -> Call[ItemsReply]:
    """Ask for some items in the order of the index."""
    return Call("GET", "/v1/gallery", ItemsReply, {"offset": offset, "limit": limit})


def embed(photo: bytes, box: Box | None) -> Call[EmbedReply]:
    """Ask for a photo's embedding."""
    return Call("POST", "/v1/embed", EmbedReply, photo=photo, form=_sides(box))


def explain(item: str, photo: bytes, box: Box | None) -> Call[ExplainReply]:
    """Ask why a photo and an item look alike."""
    return Call("POST", "/v1/explain", ExplainReply, photo=photo, form={"id": item, **_sides(box)})


def info() -> Call[Info]:
    """Ask what is served."""
    return Call("GET", "/v1/info", Info)


def item_path(item: str) -> str:
    """Return the path of an item; whatever its id holds, it stays one part of the path."""
    return f"/v1/items/{quote(item, safe='')}"


def own_path(url: str) -> str:
    """Return a picture's path as the service gave it, without the root path: a client's own address
    has that.

    Raises:
        ValueError: it leads to another host, which would be sent the API key.
    """
    if not url.startswith("/") or url.startswith("//"):
        raise ValueError(f"{url!r} is no path of the service, such as a hit's thumbnail_url")
    root, items, rest = url.partition("/v1/items/")
    return items + rest or root


def _examples(ids: Ids) -> list[Example]:
    weights = ids if isinstance(ids, Mapping) else dict.fromkeys(ids, 1.0)
    return [Example(id=item, weight=weight) for item, weight in weights.items()]


def _sides(box: Box | None) -> dict[str, float]:
    return {} if box is None else asdict(box)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
