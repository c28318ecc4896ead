"""The content of a run's report.json, with a dataclass for each section.

Sections and values with a default are absent if they were not measured, and in older runs.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from vsearch.data.io.json_dataclasses import from_json, to_json
from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.evaluation.naive_split import NaiveSplitClaims
from vsearch.indexes.choice import Measured


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Queries and gallery of the measurements.

    Attributes:
        catalog, split: their classes.
        synthetic: whether vsearch drew the photos.
        parts: items of train, val and test.
        measured_on: the part that searched: `test`, or `val` without a test part.
        catalog_report: counts from reading the catalog.
        seeds: `everything`, `split` and `batches`; None for a missing seed.
        queries: photos that searched, without `unanswerable_queries`, whose label the gallery
            lacks.
        gallery: items that were searched.
    """

    catalog: str
    synthetic: bool
    split: str
    items: int
    labels: int
    parts: dict[str, int]
    measured_on: str
    catalog_report: dict[str, Any]
    seeds: dict[str, int | None]
    skipped_photos: int
    queries: int
    unanswerable_queries: int
    gallery: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network, the kept epoch, and the weights that it `wanted` but did not get."""

    class_path: str
    dim: int
    origin: str
    wanted: str | None
    epoch: int
    libraries: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds per call of the index alone, with a batch of queries."""

    batch: int
    threads: int
    calls: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """All timings, and those of one query and of `batch_size` queries, with all `threads`."""

    single_p50_ms: float
    single_p99_ms: float
    batch_p50_ms: float
    batch_p99_ms: float
    batch_size: int
    threads: int
    table: list[Timing]


@dataclass(frozen=True, kw_only=True)
class Candidate(Measured):
    """An index that was tried, and how it fared; `losses`: against exact search."""

    within_budget: bool
    pareto: bool
    chosen: bool

    @property
    def quality(self) -> Estimate:
        """Precision@1, counted from exact search's; recall@10 where no labels were asked for."""
        lost = self.losses.get("precision_at_1")
        if lost is None:
            return Estimate(self.recall_at_10, self.recall_at_10, self.recall_at_10)
        return Estimate(-lost.value, -lost.high, -lost.low)

    def cost(self, prefer: str) -> float:
        """Return milliseconds of a single search, or MiB in memory."""
        return self.memory_mib if prefer == "memory" else self.single_ms


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How many vectors the candidates held, and how many others were queries."""

    vectors: int
    queries: int


@dataclass(frozen=True, kw_only=True)
class LabelQuality:
    """A label metric by exact search, which measures only the model, and by the served index.

    The difference is paired by query; None: the index is exact.
    """

    exact: Estimate
    served: Estimate
    difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """The served index; `labels` by metric.

    It needed the least `prefer` (time or memory) of those on the `frontier` within the budgets.
    """

    spec: str
    exact: bool
    vectors: int
    bytes: int
    memory_bytes: int | None
    build_s: float
    recall_at_1: float
    recall_at_10: float
    recall_at_100: float
    latency: Latency
    labels: dict[str, LabelQuality] = field(default_factory=dict)
    why: str | None = None
    frontier: list[Candidate] | None = None
    prefer: str = "time"
    trial: Trial | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a run and its search; the loss's parameters are included."""

    trained_parameters: int
    parameters: int
    epoch_s: float | None
    embed_photos_per_s: float | None
    bytes_per_vector: float


@dataclass(frozen=True, kw_only=True)
class ViewsQuality:
    """A label metric by views; `gain` compares all views with one, paired by query."""

    one_view: Estimate
    one_view_queries: Estimate
    all_views: Estimate
    gain: Difference


@dataclass(frozen=True, kw_only=True)
class ViewsReport:
    """Quality, by metric, and cost of views: see `evaluation.final_evaluation.ViewsScores`."""

    views: list[str]
    labels: dict[str, ViewsQuality]
    photos_per_s: float
    one_view_photos_per_s: float


@dataclass(frozen=True, kw_only=True)
class RegionQuality:
    """A label metric of whole photos and of all their parts; `gain` is paired by query."""

    whole: Estimate
    regions: Estimate
    gain: Difference


@dataclass(frozen=True, kw_only=True)
class RegionReport:
    """Quality of an index of photos' parts: see `evaluation.final_evaluation.RegionScores`."""

    per_item: int
    labels: dict[str, RegionQuality]


@dataclass(frozen=True, kw_only=True)
class ExpansionQuality:
    """A label metric without and with expanded queries; `gain` is paired by query."""

    once: Estimate
    expanded: Estimate
    gain: Difference


@dataclass(frozen=True, kw_only=True)
class ExpansionReport:
    """Quality and cost of expanded queries: see `evaluation.expansion.ExpansionScores`."""

    hits: int
    labels: dict[str, ExpansionQuality]
    once_ms: float
    expanded_ms: float


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """A metric over queries (micro) and over labels (macro)."""

    micro: Estimate
    macro: Estimate


@dataclass(frozen=True, kw_only=True)
class Chance:
    """The expectation for a random ranking."""

    micro: float
    macro: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Label quality by metric, after and before training, and by chance."""

    trained: dict[str, Estimates]
    untrained: dict[str, Estimates] | None = None
    chance: dict[str, Chance]


@dataclass(frozen=True, kw_only=True)
class AxisMetric:
    """A metric of another axis, over queries."""

    trained: Estimate
    untrained: Estimate | None = None
    chance: float


@dataclass(frozen=True, kw_only=True)
class WordsReport:
    """What labels' names find as texts, by exact search.

    Attributes:
        template: a text, with `{label}` in place of the label.
        queries: the labels that were asked for.
        precision_at_10: over labels.
        gain: after training compared with before, paired by label; None: not measured before.
    """

    template: str
    queries: int
    precision_at_10: AxisMetric
    gain: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class AxisReport:
    """A further axis: a metadata column that decides whether hits are right.

    Attributes:
        values: number of distinct values in the gallery.
        missing: queries without a value.
        queries: queries that were measured.
        unanswerable: queries whose value the gallery lacks.
        metrics: by name; empty if no query was measured.
    """

    values: int
    missing: int
    queries: int
    unanswerable: int
    metrics: dict[str, AxisMetric]


@dataclass(frozen=True, kw_only=True)
class GradedReport:
    """Graded relevance: an item's relevance is the share of `attributes` that match the query."""

    attributes: list[str]
    queries: int
    unanswerable: int
    ndcg_at_10: AxisMetric | None = None


@dataclass(frozen=True, kw_only=True)
class ProductMetric:
    """A metric of products by best photo and by mean; `gain` of the mean is paired by query."""

    best: AxisMetric
    mean: AxisMetric
    gain: Difference


@dataclass(frozen=True, kw_only=True)
class ProductsReport:
    """How well photos find their product by its other photos: see `evaluation.products`.

    Attributes:
        group: the column of the products.
        fuse: how a search scores them: `best` or `mean`.
        products: how many were searched.
        queries: photos that searched.
        alone: photos that didn't, since their product has no other photo.
        metrics: by name; empty if no photo searched.
    """

    group: str
    fuse: str
    products: int
    queries: int
    alone: int
    metrics: dict[str, ProductMetric]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Hits with nearly the same probability: its mean, and the share of right hits."""

    hits: int
    probability: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The calibration's quality on unseen queries: see `evaluation.reliability`."""

    queries: int
    right: int
    right_refused: float | None
    wrong_refused: float | None
    hits: int
    expected_calibration_error: float | None
    bins: list[ReliabilityBin]


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """What the scores mean: see `evaluation.calibration.Calibration`."""

    threshold: float | None
    error_rate: float
    queries: int
    right: int
    source: str
    promise: str
    measured: Reliability


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The logged values of each epoch, by name, with its number as `epoch`; and the kept epoch."""

    epochs: list[dict[str, Any]]
    chosen: int | None


@dataclass(frozen=True, kw_only=True)
class SkippedPhoto:
    """A photo that could not be read."""

    id: str
    label: str
    error: str


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The photos of the parts.

    Attributes:
        labels: `label`, and its number of photos in `all` and in each part; the largest first.
        copies: photos that equal an earlier one.
        skipped: the first photos that could not be read.
    """

    labels: list[dict[str, Any]]
    copies: int
    skipped: list[SkippedPhoto]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The whole report of a run.

    `per_class` has a row for each label, the one with most queries first: label, queries, the mean
    of each metric, and `precision_at_1_chance`, the label's share of the gallery.
    """

    protocol: Protocol
    model: Model
    index: IndexReport
    cost: Cost | None = None
    views: ViewsReport | None = None
    regions: RegionReport | None = None
    expansion: ExpansionReport | None = None
    words: WordsReport | None = None
    metrics: Metrics
    per_class: list[dict[str, Any]]
    axes: dict[str, AxisReport] = field(default_factory=dict)
    graded: GradedReport | None = None
    products: ProductsReport | None = None
    calibration: CalibrationReport | None = None
    leakage: NaiveSplitClaims | None = None
    training: TrainingReport | None = None
    data: DataReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of report.json."""
        return {"leakage": {}, **to_json(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read the content of report.json; other content raises a TypeError or AttributeError."""
        return from_json(cls, {**content, "leakage": content.get("leakage") or None})

    @property
    def axis_metrics(self) -> dict[str, dict[str, AxisMetric]]:
        """The further axes' metrics by axis and name; graded relevance is the axis `(graded)`."""
        found = {name: axis.metrics for name, axis in self.axes.items()}
        if self.graded is not None and self.graded.ndcg_at_10 is not None:
            found["(graded)"] = {"ndcg_at_10": self.graded.ndcg_at_10}
        return found

    @property
    def single_query_labels(self) -> int:
        """How many labels have only one query, which adds nothing to the interval."""
        return sum(row["queries"] == 1 for row in self.per_class)
