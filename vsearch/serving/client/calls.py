from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypedDict, TypeVar, Unpack
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
    Region,
    SearchReply,
    SearchRequest,
)

Ids = Sequence[str] | Mapping[str, float]  # of items; a mapping gives each its weight, else 1
Reply = TypeVar("Reply")


class SearchOptions(TypedDict, total=False):
    """Options of all searches; see `messages.SearchOptions`."""

    k: int
    where: str | None
    min_score: float | None
    group_by: str | None
    expand: int
    each_photo: bool


class TextOptions(SearchOptions, total=False):
    """Options of searches that a text can be mixed into; see `messages.TextOptions`."""

    text: str | None
    text_weight: float


class PhotoOptions(TextOptions, total=False):
    """Options of searches with a photo; see `messages.PhotoOptions`."""

    parts: bool


@dataclass(frozen=True)
class Call(Generic[Reply]):
    """One request, and the reader of its answer.

    `body` is sent as JSON, `photo` as a file beside the fields of `form`.
    """

    method: str
    path: str
    read: Callable[[bytes], Reply]
    query: dict[str, Any] = field(default_factory=dict)
    body: BaseModel | None = None
    photo: bytes | None = None
    form: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """The arguments for httpx."""
        found: dict[str, Any] = {"params": self.query} if self.query else {}
        if self.body is not None:
            found["json"] = self.body.model_dump(exclude_defaults=True)
        if self.photo is not None:
            found["data"] = self.form
            found["files"] = {"photo": ("photo", self.photo, "application/octet-stream")}
        return found


def search_photo(
    photo: bytes, region: Region | None = None, **options: Unpack[PhotoOptions]
) -> Call[SearchReply]:
    """Return the items that look most like a photo, or like its `region`, perhaps with a `text`.

    With `parts`, parts of the photo or region are searched with too.
    """
    form = _given({**_sides(region), **options})
    read = SearchReply.model_validate_json
    return Call("POST", "/v1/search/upload", read, photo=photo, form=form)


def search(
    positive: Ids = (),
    negative: Ids = (),
    embedding: Sequence[float] | None = None,
    **options: Unpack[TextOptions],
) -> Call[SearchReply]:
    """Return the items near the positive examples and away from the negative ones.

    An embedding counts as a positive example. `search(text="red dress")` searches with words alone.
    """
    try:
        request = SearchRequest(
            positive=_examples(positive),
            negative=_examples(negative),
            embedding=None if embedding is None else list(embedding),
            **options,
        )
    except ValidationError as error:
        raise unfit(error) from error
    return Call("POST", "/v1/search", SearchReply.model_validate_json, body=request)


def batch(searches: Sequence[SearchRequest]) -> Call[BatchReply]:
    """Return a reply for each of several searches."""
    try:
        request = BatchRequest(searches=list(searches))
    except ValidationError as error:
        raise unfit(error) from error
    return Call("POST", "/v1/search/batch", BatchReply.model_validate_json, body=request)


def similar(item: str, **options: Unpack[SearchOptions]) -> Call[SearchReply]:
    """Return the items that look most like an item, without the item or its product."""
    path = f"{item_path(item)}/similar"
    return Call("GET", path, SearchReply.model_validate_json, _given(options))


def product(item: str, limit: int = 10) -> Call[ItemsReply]:
    """Return the photos of an item's product, the item included, and their number."""
    path = f"{item_path(item)}/product"
    return Call("GET", path, ItemsReply.model_validate_json, {"limit": limit})


def item(item: str) -> Call[Item]:
    """Return the item with this id."""
    return Call("GET", item_path(item), Item.model_validate_json)


def items(offset: int = 0, limit: int = 10) -> Call[ItemsReply]:
    """Return some items in the order of the index, and their total number."""
    query = {"offset": offset, "limit": limit}
    return Call("GET", "/v1/gallery", ItemsReply.model_validate_json, query)


def image(path: str) -> Call[bytes]:
    """Return a picture, a JPEG, by its `thumbnail_url` or `image_url`.

    Raises:
        ValueError: the path leads to another host, which would receive the API key.
    """
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"{path!r} isn't a path of the service, such as a hit's thumbnail_url")
    # without the service's root path, which is in the client's address
    root, items, rest = path.partition("/v1/items/")
    return Call("GET", items + rest or root, bytes)


def embed(photo: bytes, region: Region | None = None) -> Call[EmbedReply]:
    """Return a photo's embedding."""
    read = EmbedReply.model_validate_json
    return Call("POST", "/v1/embed", read, photo=photo, form=_sides(region))


def explain(item: str, photo: bytes, region: Region | None = None) -> Call[ExplainReply]:
    """Return why a photo and an item look alike."""
    read = ExplainReply.model_validate_json
    return Call("POST", "/v1/explain", read, photo=photo, form={"id": item, **_sides(region)})


def info() -> Call[Info]:
    """Return what is served: model, index, columns, measured quality."""
    return Call("GET", "/v1/info", Info.model_validate_json)


def item_path(item: str) -> str:
    """Return the path of an item; any id stays one segment of the path."""
    return f"/v1/items/{quote(item, safe='')}"


def _examples(ids: Ids) -> list[Example]:
    weights = ids if isinstance(ids, Mapping) else dict.fromkeys(ids, 1.0)
    return [Example(id=item, weight=weight) for item, weight in weights.items()]


def _sides(region: Region | None) -> dict[str, float]:
    return {} if region is None else asdict(region)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
