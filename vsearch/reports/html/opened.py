import json
from pathlib import Path

import numpy as np
import pandas as pd

from vsearch.bundle.generations.checked_files import check_file
from vsearch.bundle.generations.live import open_state
from vsearch.bundle.generations.state import State
from vsearch.errors import BundleError
from vsearch.evaluation import calibration
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, REPORT
from vsearch.reports.html.base import Findings


def read_findings(bundle: Path) -> Findings:
    """Return what the fit of a bundle found out: its items as they were measured, whatever was
    changed since.

    Raises:
        BundleError: a part is missing or damaged; the message says which.
    """
    fitted = open_state(bundle, State(0, ""), [])
    for name in (REPORT, QUERIES):
        if name not in fitted.fitted["sha256"]:
            raise BundleError(
                f"{bundle} has no {name}: nothing was measured when it was written. Fit the run "
                "again."
            )
        check_file(bundle, name, fitted.fitted)
    config = bundle.resolve().with_name(CONFIG)
    return Findings(
        json.loads((bundle / REPORT).read_text()),
        pd.read_parquet(bundle / QUERIES),
        fitted.items.to_pandas(),
        fitted.vectors(np.arange(len(fitted.items))),
        calibration.read(bundle, fitted.fitted),
        read_config(config),
        fitted.fitted["fingerprint"],
    )


def read_config(path: Path) -> str | None:
    """Return a run's configuration, or None where it kept none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
