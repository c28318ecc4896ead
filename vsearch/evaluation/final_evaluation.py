from dataclasses import dataclass
from typing import Any

import numpy as np

from vsearch.evaluation.axes import AxesScores
from vsearch.evaluation.calibration import Calibration
from vsearch.evaluation.expansion import ExpansionScores
from vsearch.evaluation.naive_split import NaiveSplitClaims
from vsearch.evaluation.scoring import Scores
from vsearch.evaluation.split_data import SplitData


@dataclass(frozen=True)
class Network:
    """What a report says of the trained network.

    Attributes:
        class_path: of its backbone.
        dim: of its embeddings.
        origin: where its weights came from.
        wanted: the weights that could not be downloaded.
        parameters: how many it has; a loss's own count too.
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
    """How well a network's embeddings find the label, and further axes."""

    labels: Scores
    axes: AxesScores


@dataclass(frozen=True)
class Hits:
    """The best hits of every query, best first.

    Attributes:
        scores: cosines that the index gives, float32 (q, depth); NaN after the last hit.
        positions: of the hits in the gallery, int (q, depth); -1 after the last hit.
    """

    scores: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class MeasuredCalibration:
    """A calibration, and its quality on queries that it hasn't seen, as plain JSON values."""

    calibration: Calibration
    quality: dict[str, Any]


@dataclass(frozen=True)
class ViewsScores:
    """What views beside each photo as it is find and cost, by exact search, weights being equal.

    Attributes:
        views: their classes.
        one_view: scores of photos as they are.
        one_view_queries: of queries as they are, which search what all views made.
        all_views: of all views of both.
        photos_per_s: gallery photos decoded and embedded a second, with all views.
        one_view_photos_per_s: the same of photos as they are.
    """

    views: list[str]
    one_view: Scores
    one_view_queries: Scores
    all_views: Scores
    photos_per_s: float
    one_view_photos_per_s: float


@dataclass(frozen=True)
class FinalEvaluation:
    """How good the model of the best epoch is, and the index of its gallery.

    Attributes:
        data: the catalog that it was measured on.
        trained: scores of the test queries through the index that is served.
        exact: the same by exact search; None where the index is exact itself.
        untrained: the backbone's scores before training, by exact search; None if not measured.
        hits: what each test query found in the index.
        gallery: vectors of the gallery, float32 (n, dim).
        fingerprint: of the network.
        index: see `evaluation.index_quality.quality`.
        calibration: what the scores are worth.
        naive_split: what a random split would have claimed, where copies make a difference.
        views: what the views are worth; None without any.
        expansion: what `search --expand` is worth; None where the index gives no vectors back.
        photos_per_s: gallery photos decoded and embedded a second; None where they came from a
            trunk cache, since nothing is decoded then.
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
    expansion: ExpansionScores | None
    photos_per_s: float | None
