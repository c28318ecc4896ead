"""What the service takes and answers: one description for the service, its OpenAPI file, the client
and the page.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FINGERPRINT_HEADER = (
    "X-Vsearch-Fingerprint"  # of the model that answered; on every reply of an open bundle
)
REQUEST_ID_HEADER = "X-Request-ID"
MAX_K = 1000
MISSPELT = 10  # unknown fields of a message that are told one by one

Score = Annotated[
    float, Field(ge=-1, le=1, description="Cosine similarity, -1..1, higher is better.")
]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Hits wanted.")]
ItemId = Annotated[str, Field(min_length=1, max_length=512)]


class Wire(BaseModel):
    """A message that refuses what it doesn't know."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        if (
            isinstance(value, dict) and len(value) > len(cls.model_fields) + MISSPELT
        ):  # an error each takes its time
            raise ValueError(f"more fields than the {len(cls.model_fields)} that there are")
        return value


class Example(Wire):
    """An item as an example of what is looked for, or of what is not."""

    id: ItemId
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class Wishes(Wire):
    """What all searches take."""

    k: K = 10
    where: Annotated[str, Field(max_length=2000)] | None = None
    min_score: Score | None = None
    group_by: Annotated[str, Field(max_length=200)] | None = None


class SearchRequest(Wishes):
    """Item ids as examples, an embedding of the same model, or both: it counts as a positive
    example of weight 1.
    """

    positive: Annotated[list[Example], Field(max_length=100, fail_fast=True)] = []
    negative: Annotated[list[Example], Field(max_length=100, fail_fast=True)] = []
    embedding: Annotated[list[float], Field(max_length=16384, fail_fast=True)] | None = None


class BatchRequest(Wire):
    """Several searches in one request."""

    searches: Annotated[list[SearchRequest], Field(min_length=1, max_length=256, fail_fast=True)]


class Hit(Wire):
    """An item that was found.

    `probability` is that of its label being right, calibrated when the model was fit; null where it
    was not, and for what it was not calibrated with: items' ids, a region of a photo, a filter. It
    holds for whole photos (or the embedding of one) that are no item's, among all items.
    """

    rank: int
    id: str
    label: str
    score: float
    similarity_percent: float
    probability: float | None
    metadata: dict[str, Any]
    thumbnail_url: str | None


class Took(Wire):
    """Milliseconds, measured in the service; those of a batch are the whole batch's."""

    decode: float
    embed: float
    search: float


class SearchReply(Wire):
    """Hits, best first.

    `good_match`: whether the best hit reaches the calibrated threshold; null where nothing is
    calibrated for such a query, as for `probability`. `message` says it in words when there is
    none, or why a filter let nothing through.
    """

    hits: list[Hit]
    good_match: bool | None
    message: str | None
    took_ms: Took


class BatchReply(Wire):
    """A reply for each search, in their order."""

    replies: list[SearchReply]


class Item(Wire):
    """An indexed item."""

    id: str
    label: str
    metadata: dict[str, Any]
    image_url: str | None


class ItemsReply(Wire):
    """Some items in the order of the index, from the one that was asked for on; `total`: how many
    there are.
    """

    items: list[Item]
    total: int


class EmbedReply(Wire):
    """A unit vector, float32 (dim,)."""

    embedding: list[float]
    dim: int
    took_ms: Took


class Heatmap(Wire):
    """The parts of a score over a photo's positions; all parts sum to the score.

    `box`: left, top, right, bottom of what the network saw of the photo, in shares of its width and
    height; it may lie outside 0..1 where the photo was padded.
    """

    parts: list[list[float]]
    box: tuple[float, float, float, float]


class ExplainReply(Wire):
    """Why a photo and an item look alike: their score split over the positions of each."""

    id: str
    score: float
    query: Heatmap
    item: Heatmap


class Facet(Wire):
    """A column that a filter can use. `values`: the most frequent, with counts; `low`, `high`: of
    numbers.
    """

    column: str
    kind: Literal["text", "number"]
    values: list[tuple[str, int]] = []
    low: float | None = None
    high: float | None = None
    missing: int = 0


class Info(Wire):
    """The open bundle: model, index, counts, measured quality. `engine` embeds uploads, in
    `precision`: and why.
    """

    fingerprint: str
    generation: int
    model: dict[str, Any]
    engine: str
    precision: str
    index: dict[str, Any]
    items: int
    labels: int
    facets: list[Facet]
    quality: dict[str, Any]
    calibration: dict[str, Any] | None
    synthetic: bool
    explains: bool
    versions: dict[str, str]


class Problem(BaseModel):
    """An error, as RFC 9457's application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
