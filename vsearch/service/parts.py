"""Calibration and explanation: parts that a bundle or an installation may be without."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from vsearch.embedder import Embedder


class Calibration(Protocol):
    """What scores are worth, measured on held-out queries when the model was fit."""

    threshold: float  # cosine from which the best hit is a good match
    error_rate: float  # share of queries with a right item that the threshold turns away, at most

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return, for cosines (n,), how probable it is that the hit's label is right, 0..1, (n,)."""

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values for people."""


def read_calibration(folder: Path, manifest: dict[str, Any]) -> Calibration | None:
    """Return what a bundle's scores are worth; None where nothing was calibrated."""
    if find_spec("vsearch.calibration") is None:
        return None
    found: Calibration | None = import_module("vsearch.calibration").read(folder, manifest)
    return found


def explains(embedder: Embedder) -> bool:
    """Tell whether a network's scores can be split over positions."""
    return find_spec("vsearch.explain") is not None and bool(
        import_module("vsearch.explain").can_explain(embedder),
    )


def explain(embedder: Embedder, query: Tensor, item: Tensor) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the score of two photos, each (3, size, size), and its parts over the positions of each, (h, w)."""
    found: tuple[float, np.ndarray, np.ndarray] = import_module("vsearch.explain").explain(embedder, query, item)
    return found
