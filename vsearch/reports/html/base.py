from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from vsearch.evaluation.calibration import Calibration

Figure = dict[str, Any]  # {data, layout}, as plotly.js takes them; see `charts`


class LeftOutError(Exception):
    """A section has nothing to show; the message is the sentence that stands in its place."""


@dataclass(frozen=True)
class Findings:
    """What a report is drawn from: all of it is in a bundle, too.

    Attributes:
        report: what report.json holds.
        queries: one row per answered test query: id, label, path, maybe a box, one column per
            metric, `hits` (positions in `items`, best first) and maybe `scores` (their cosines).
        items: the gallery: id, label, path, maybe a box.
        vectors: the items' embeddings, float32 (n, dim), unit length; None where they aren't kept.
        calibration: of the bundle's scores, if there is one.
        config: the run's configuration, as YAML.
        fingerprint: the bundle's.
    """

    report: dict[str, Any]
    queries: pd.DataFrame
    items: pd.DataFrame
    vectors: np.ndarray | None = None
    calibration: Calibration | None = None
    config: str | None = None
    fingerprint: str | None = None

    @cached_property
    def labels(self) -> np.ndarray:
        """The items' labels, object (n,)."""
        return self.items["label"].to_numpy(dtype=object)

    @cached_property
    def hit_labels(self) -> list[np.ndarray]:
        """For each query, the labels of its hits, best first."""
        return [self.labels[np.asarray(hits, dtype=int)] for hits in self.queries["hits"]]

    @property
    def seed(self) -> int:
        """The seed of what is drawn for the report: the run's own, else 0."""
        return int(self.report["protocol"]["seeds"].get("everything") or 0)


@dataclass(frozen=True)
class Section:
    """One part of a report: what its template shows, and its charts by their names."""

    values: dict[str, Any]
    figures: dict[str, Figure] = field(default_factory=dict)
