import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from vsearch.bundle.generations.layout import ITEMS, MANIFEST
from vsearch.data.catalogs.base import BOX
from vsearch.errors import VsearchError
from vsearch.evaluation.axes import GRADED
from vsearch.evaluation.scoring import Scores

QUERIES = "queries.parquet"
REPORT = "report.json"  # a bundle's; beside it, a run's own. None is needed
SPLIT, CONFIG = "split.csv", "config.yaml"
COLUMNS = (
    "id",
    "label",
    "path",
    "hits",
    "scores",
    *BOX,
)  # of a table of queries; its other columns are metrics


class RunError(VsearchError):
    """A run can't be read; the message names the folder and says what to do."""


@dataclass(frozen=True)
class Run:
    """What a fit found out, as its folder keeps it.

    Attributes:
        name: the end of the folder's path, as short as tells it from the runs opened with it.
        folder: the run's folder.
        manifest: its bundle's.
        queries: one row per answerable test query: id, label, path, one column per metric, and
            `hits`: the positions in `items` of its 10 best, best first. Since `report.html`, also
            `scores`: their cosines.
        items: the gallery: id, path, label, metadata.
        train: what it was trained on: id, label; None if its split.csv isn't there (a bundle that
            was moved).
        axes: further axes, `{"colour": {"precision_at_1": {"value", "low", "high"}}}`, and
            `(graded)` relevance, over queries, of the trained model; empty if it measured none.
        settings: the run's configuration, `{"model.loss.init_args.margin": "0.3"}`; empty if it
            kept none.
    """

    name: str
    folder: Path
    manifest: dict[str, Any]
    queries: pd.DataFrame
    items: pd.DataFrame
    train: pd.DataFrame | None
    axes: dict[str, dict[str, dict[str, float]]]
    settings: dict[str, str]

    @property
    def metrics(self) -> list[str]:
        """The metrics that each query has."""
        return [str(name) for name in self.queries.columns if name not in COLUMNS]

    @property
    def cost(self) -> dict[str, float | None]:
        """What the run and its search cost, as `callbacks.build_index` measured it; None where it
        didn't.
        """
        names = (
            "trained_parameters",
            "parameters",
            "epoch_s",
            "embed_photos_per_s",
            "bytes_per_vector",
        )
        cost, latency = (
            self.manifest.get("cost", {}),
            self.manifest.get("index", {}).get("latency", {}),
        )
        return {
            **{name: cost.get(name) for name in names},
            "search_p50_ms": latency.get("single_p50_ms"),
        }


def query_table(
    queries: pd.DataFrame, scores: Scores, cosines: np.ndarray, hits: np.ndarray
) -> bytes:
    """Return QUERIES as a file's content.

    Args:
        queries: all that were asked: id, label, path, maybe boxes.
        scores: what those with an answer got.
        cosines: float (n, depth), of all that were asked: their hits' scores.
        hits: int (n, depth), of all that were asked: positions in the gallery, best first; -1 after
            the last.
    """
    table = queries.iloc[scores.answered]
    table = table[[name for name in COLUMNS if name in table]].assign(**scores.model)
    file = BytesIO()
    there = hits[scores.answered] >= 0
    lists = {
        name: [
            row[known].tolist() for row, known in zip(values[scores.answered], there, strict=True)
        ]
        for name, values in (("hits", hits), ("scores", cosines))
    }
    table.assign(**lists).to_parquet(file, index=False)
    return file.getvalue()


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Open runs by their folders, or by the bundles in them.

    Raises:
        RunError: a folder is no run, or a file of its bundle is missing or damaged.
    """
    bundles = [_bundle(folder) for folder in folders]
    places = [
        (bundle.parent if bundle.name == "bundle" else bundle).resolve() for bundle in bundles
    ]
    return [
        Run(
            name,
            place,
            *_read(bundle),
            _train(place / SPLIT),
            _axes(bundle / REPORT),
            _settings(place / CONFIG),
        )
        for name, place, bundle in zip(_names(places), places, bundles, strict=True)
    ]


def _bundle(folder: Path) -> Path:
    for place in (folder / "bundle", folder):
        if (place / MANIFEST).is_file():
            return place
    raise RunError(
        f"{folder} is no run: there is no {Path('bundle', MANIFEST)} in it. A fit that ended "
        "writes one."
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the folders' paths that tell them apart."""
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            break
    return names


def _read(bundle: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    if not (bundle / QUERIES).is_file():
        raise RunError(f"{bundle} has no {QUERIES}: its run is older than `compare`. Fit it again.")
    name = MANIFEST
    try:
        manifest = json.loads((bundle / MANIFEST).read_text())
        name = QUERIES
        queries = pd.read_parquet(bundle / QUERIES)
        name = ITEMS
        items = pd.read_parquet(bundle / ITEMS)
    except (OSError, ValueError) as error:
        raise RunError(f"{bundle / name} can't be read: {' '.join(str(error).split())}") from error
    _check(bundle / QUERIES, queries, ("id", "label", "path", "hits"))
    _check(bundle / ITEMS, items, ("id", "label", "path"))
    return manifest, queries, items


def _check(path: Path, table: pd.DataFrame, needed: Sequence[str]) -> None:
    """Refuse a table that lacks columns or rows, repeats an id, or has a query without a value."""
    if lacking := [name for name in needed if name not in table]:
        raise RunError(
            f"{path} lacks the columns {lacking}: it is not of this vsearch. Fit the run again."
        )
    if table.empty or table["id"].duplicated().any():
        raise RunError(
            f"{path} is {'empty' if table.empty else 'damaged: an id comes twice'}. Fit the run "
            "again."
        )
    values = table.drop(columns=[name for name in COLUMNS if name in table])
    if path.name == QUERIES and (values.empty or values.isna().any(axis=None)):
        raise RunError(
            f"{path} is damaged: {'it has no metrics' if values.empty else 'values are missing'}."
        )


def _train(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False
        )  # "007" and "NA" are ids like others
        return table.loc[table["split"] == "train", ["id", "label"]].reset_index(drop=True)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} can't be read: {' '.join(str(error).split())}") from error


def _axes(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    if not path.is_file():
        return {}
    try:
        report = json.loads(path.read_text())
        found = {name: axis["metrics"] for name, axis in report.get("axes", {}).items()}
        if "graded" in report:
            found["(graded)"] = {GRADED: report["graded"][GRADED]}
        return {
            name: {metric: one["trained"] for metric, one in axis.items()}
            for name, axis in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} can't be read: {' '.join(str(error).split())}") from error


def _settings(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        settings = yaml.load(path.read_text(), yaml.BaseLoader)  # all values as text
    except (yaml.YAMLError, ValueError) as error:
        raise RunError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    return {key: " ".join(str(value).split()) for key, value in leaves(settings)}


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of each leaf of nested mappings and lists; an empty one is a leaf."""
    pairs = list(
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    if not pairs:
        yield key, node
    for name, value in pairs:
        yield from leaves(value, f"{key}.{name}" if key else str(name))
