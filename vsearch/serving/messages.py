"""What the service takes and answers; its OpenAPI file, the client and the page have it too."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_K = 1000
MISSPELT = 10  # unknown fields of a message that are told one by one

Score = Annotated[
    float, Field(ge=-1, le=1, description="Cosine similarity, -1..1, higher is better.")
]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Hits wanted.")]
Expand = Annotated[
    int,
    Field(
        ge=0,
        le=100,
        description="Search again with the query moved towards so many of its best hits, such as "
        "10; scores are then those of the second search.",
    ),
]
EachPhoto = Annotated[
    bool,
    Field(description="Return photos, not products, where the bundle knows a product's photos."),
]
Text = Annotated[
    str, Field(min_length=1, max_length=1000, description="Words, where `/v1/info` offers `text`.")
]
TextWeight = Annotated[
    float, Field(ge=0, le=1, description="Share of the text beside a photo or examples.")
]
Parts = Annotated[
    bool,
    Field(description="Search with parts of the photo, too; an item counts by its best match."),
]
Shares = tuple[float, float, float, float]  # of a photo's sides: left, top, right, bottom, 0..1
ItemId = Annotated[str, Field(min_length=1, max_length=512)]


@dataclass(frozen=True)
class Region:
    """A part of a photo in pixels of the upright photo: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.w, self.y + self.h


class Message(BaseModel):
    """A message that refuses what it doesn't know."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _limit_mistakes(cls, value: Any) -> Any:
        known = len(cls.model_fields)
        if isinstance(value, dict) and len(value) > known + MISSPELT:  # each error takes time
            raise ValueError(f"more fields than the {known} that there are")
        return value


class Example(Message):
    """An item as an example of what is looked for, or of what is not."""

    id: ItemId
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class SearchOptions(Message):
    """What all searches take."""

    k: K = 10
    where: Annotated[str, Field(max_length=2000)] | None = None
    min_score: Score | None = None
    group_by: Annotated[str, Field(max_length=200)] | None = None
    expand: Expand = 0
    each_photo: EachPhoto = False


class TextOptions(SearchOptions):
    """What searches take that a text can be mixed into."""

    text: Text | None = None
    text_weight: TextWeight = 0.5


class PhotoOptions(TextOptions):
    """What searches with a photo take."""

    parts: Parts = False


class SearchRequest(TextOptions):
    """Item ids as examples, an embedding of the same model, a text, or several of these.

    The embedding counts as a positive example of weight 1. The text is mixed into the query of the
    positive and negative examples; without positive ones it takes their place.
    """

    positive: Annotated[list[Example], Field(max_length=100, fail_fast=True)] = []
    negative: Annotated[list[Example], Field(max_length=100, fail_fast=True)] = []
    embedding: Annotated[list[float], Field(max_length=16384, fail_fast=True)] | None = None


class BatchRequest(Message):
    """Several searches in one request."""

    searches: Annotated[list[SearchRequest], Field(min_length=1, max_length=256, fail_fast=True)]


class Hit(Message):
    """An item that was found.

    `probability` is that of its label being right, calibrated when the model was fit; null where it
    was not, and for what it was not calibrated with: items' ids, a text, a part of a photo, a
    filter. It holds for whole photos (or the embedding of one) that are no item's, among all items.
    `group_size`: how many photos its product, or other group, has; null where hits aren't grouped.
    `region`: the part of its photo that matched, where the index holds parts; `query_region`: the
    part of the photo, or region, that was sent, with `parts`; both are left, top, right and bottom
    in shares of the sides, and null for all of it.
    """

    rank: int
    id: str
    label: str
    score: float
    similarity_percent: float
    probability: float | None
    metadata: dict[str, Any]
    thumbnail_url: str | None
    group_size: int | None = None
    region: Shares | None = None
    query_region: Shares | None = None


class Took(Message):
    """Milliseconds, measured in the service; those of a batch are the whole batch's."""

    decode: float
    embed: float
    search: float


class SearchReply(Message):
    """Hits, best first.

    `good_match`: whether the best hit reaches the calibrated threshold; null where nothing is
    calibrated for such a query, as for `probability`. `message` says it in words when there is
    none, or why a filter let nothing through.
    """

    hits: list[Hit]
    good_match: bool | None
    message: str | None
    took_ms: Took


class BatchReply(Message):
    """A reply for each search, in their order."""

    replies: list[SearchReply]


class Item(Message):
    """An indexed item."""

    id: str
    label: str
    metadata: dict[str, Any]
    image_url: str | None


class ItemsReply(Message):
    """Some items in the order of the index; `total`: how many there are in all."""

    items: list[Item]
    total: int


class EmbedReply(Message):
    """A unit vector, float32 (dim,)."""

    embedding: list[float]
    dim: int
    took_ms: Took


class Heatmap(Message):
    """The parts of a score over a photo's positions; all parts sum to the score.

    `box`: left, top, right, bottom of what the network saw of the photo, in shares of its width and
    height; it may lie outside 0..1 where the photo was padded.
    """

    parts: list[list[float]]
    box: tuple[float, float, float, float]


class ExplainReply(Message):
    """Why a photo and an item look alike: their score split over the positions of each."""

    id: str
    score: float
    query: Heatmap
    item: Heatmap


class Facet(Message):
    """A column that a filter can use.

    `values`: the most frequent, with counts; `low`, `high`: of numbers.
    """

    column: str
    kind: Literal["text", "number"]
    values: list[tuple[str, int]] = []
    low: float | None = None
    high: float | None = None
    missing: int = 0


class Info(Message):
    """The bundle that is served: model, index, counts, measured quality.

    `runtime` embeds uploads, in `precision`, which also says why. `places`: rows and columns of the
    heatmaps of `/v1/explain`; null where the model `explains` nothing. `text`: searches take texts.
    """

    fingerprint: str
    generation: int
    model: dict[str, Any]
    runtime: str
    precision: str
    index: dict[str, Any]
    items: int
    labels: int
    facets: list[Facet]
    quality: dict[str, Any]
    calibration: dict[str, Any] | None
    synthetic: bool
    explains: bool
    places: tuple[int, int] | None = None
    text: bool = False
    versions: dict[str, str]


class Problem(BaseModel):
    """An error, as RFC 9457's application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
