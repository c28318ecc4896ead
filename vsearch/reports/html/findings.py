import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.live import open_state
from vsearch.bundle.generations.state import State
from vsearch.data.items import read_table
from vsearch.errors import BundleError
from vsearch.evaluation import calibration
from vsearch.evaluation.calibration import Calibration
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, REPORT
from vsearch.evaluation.run_report import RunReport

Figure = dict[str, Any]  # {data, layout}, as plotly.js takes them; see `charts`


class LeftOutError(Exception):
    """A section has nothing to show; the report shows the message instead."""


@dataclass(frozen=True)
class Findings:
    """The data for a report; a bundle holds all of it.

    Attributes:
        report: the content of report.json.
        queries: see `Run.queries`, maybe with boxes.
        items: the gallery: id, label, path, maybe a box.
        vectors: the items' embeddings, float32 (n, dim), unit length; None if they aren't kept.
        calibration: of the bundle's scores, if there is one.
        config: the run's configuration, as YAML.
        fingerprint: the bundle's.
    """

    report: RunReport
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
        """Each query's labels of its hits, best first."""
        return [self.labels[np.asarray(hits, dtype=int)] for hits in self.queries["hits"]]

    @property
    def seed(self) -> int:
        """The seed of the report's random choices: the run's, else 0."""
        return int(self.report.protocol.seeds.get("everything") or 0)


@dataclass(frozen=True)
class Section:
    """One section of a report: its template's values, and its charts by name."""

    values: dict[str, Any]
    figures: dict[str, Figure] = field(default_factory=dict)


def read_findings(bundle: Path, photos_root: Path | None = None) -> Findings:
    """Return the findings of a bundle's fit, whatever items were changed since.

    `photos_root`: the folder of the photos now; None: the same as at the fit.

    Raises:
        BundleError: a file is missing or damaged; the message says which.
    """
    fitted = open_state(bundle, State(0, ""), [], photos_root=photos_root)
    for name in (REPORT, QUERIES):
        if name not in fitted.fitted["sha256"]:
            raise BundleError(f"{bundle} has no {name}: nothing was measured. Fit the run again.")
        check_file(bundle, name, fitted.fitted)

    return Findings(
        RunReport.from_json(json.loads((bundle / REPORT).read_text())),
        read_table(bundle / QUERIES, str(photos_root or fitted.photos_root)).to_pandas(),
        fitted.items.to_pandas(),
        fitted.vectors(np.arange(len(fitted.items))),
        calibration.read(bundle, fitted.fitted),
        read_config(bundle.resolve().with_name(CONFIG)),
        fitted.fitted["fingerprint"],
    )


def read_config(path: Path) -> str | None:
    """Return a run's configuration, or None if it kept none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
