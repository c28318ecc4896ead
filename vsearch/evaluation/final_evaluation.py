from dataclasses import dataclass
from typing import Any

import numpy as np

from vsearch.evaluation.axes import AxesScores
from vsearch.evaluation.calibration import Calibration
from vsearch.evaluation.expansion import ExpansionScores
from vsearch.evaluation.naive_split import NaiveSplitClaims
from vsearch.evaluation.products import ProductScores
from vsearch.evaluation.scoring import Scores
from vsearch.evaluation.split_data import SplitData


@dataclass(frozen=True)
class Network:
    """A report's entry about the trained network.

    Attributes:
        class_path: of its backbone.
        dim: of its embeddings.
        origin: where its weights came from.
        wanted: the weights that could not be downloaded.
        parameters: how many it has, including those of the loss.
        trained_parameters: how many of them were trained.
    """

    class_path: str
    dim: int
    origin: str
    wanted: str | None
    parameters: int
    trained_parameters: int


@dataclass(frozen=True)
class NetworkScores:
    """How well a network's embeddings find the label, further axes, and products if known.

    Attributes:
        words: what labels' names find, a text for each label, by exact search; None: the network
            has no text tower.
    """

    labels: Scores
    axes: AxesScores
    products: ProductScores | None = None
    words: Scores | None = None


@dataclass(frozen=True)
class Hits:
    """The best hits of every query, best first.

    Attributes:
        scores: cosines from the index, float32 (q, depth); NaN after the last hit.
        positions: positions of the hits in the gallery, int (q, depth); -1 after the last hit.
    """

    scores: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class MeasuredCalibration:
    """A calibration, and its quality on unseen queries, as plain JSON values."""

    calibration: Calibration
    quality: dict[str, Any]


@dataclass(frozen=True)
class ViewsScores:
    """Quality and cost of further views of each photo, by exact search, with the same weights.

    Attributes:
        views: their classes.
        one_view: scores of photos without views.
        one_view_queries: scores of queries without views in a gallery of all views.
        all_views: scores with all views of both.
        photos_per_s: gallery photos decoded and embedded per second, with all views.
        one_view_photos_per_s: the same without views.
    """

    views: list[str]
    one_view: Scores
    one_view_queries: Scores
    all_views: Scores
    photos_per_s: float
    one_view_photos_per_s: float


@dataclass(frozen=True)
class RegionScores:
    """Quality of a gallery of whole photos, and of one with their parts, by exact search.

    Attributes:
        per_item: vectors an item, the whole photo's included.
        whole: scores with whole photos.
        regions: scores with their parts too.
    """

    per_item: int
    whole: Scores
    regions: Scores


@dataclass(frozen=True)
class FinalEvaluation:
    """The quality of the best epoch's model, and of the index of its gallery.

    Attributes:
        data: the catalog that it was measured on.
        trained: scores of the test queries in the served index.
        exact: the same by exact search; None if the index itself is exact.
        untrained: the backbone's scores before training, by exact search; None if not measured.
        hits: the hits of each test query in the index.
        gallery: vectors of the gallery's whole photos, float32 (n, dim).
        fingerprint: of the network.
        index: see `evaluation.index_quality.quality`.
        calibration: what the scores mean.
        naive_split: what a random split would have claimed, if copies make a difference.
        views: quality and cost of the views; None without any.
        regions: quality and cost of the parts that the index holds; None without any.
        expansion: quality and cost of `search --expand`; None if the index can't give back vectors.
        photos_per_s: gallery photos decoded and embedded per second; None with a trunk cache, since
            nothing is decoded then.
    """

    data: SplitData
    trained: NetworkScores
    exact: Scores | None
    untrained: NetworkScores | None
    hits: Hits
    gallery: np.ndarray
    fingerprint: str
    index: dict[str, Any]
    calibration: MeasuredCalibration
    naive_split: NaiveSplitClaims | None
    views: ViewsScores | None
    regions: RegionScores | None
    expansion: ExpansionScores | None
    photos_per_s: float | None
