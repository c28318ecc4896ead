import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml

from vsearch.bundle.generations.files import CURRENT, ITEMS, MANIFEST, check_file
from vsearch.bundle.generations.live import manifests
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.state import read_state
from vsearch.data.items import BOX, read_table
from vsearch.errors import VsearchError
from vsearch.evaluation.run_report import Cost, RunReport
from vsearch.evaluation.scoring import Scores

QUERIES = "queries.parquet"
REPORT = "report.json"
SPLIT, CONFIG = "split.csv", "config.yaml"
Content = TypeVar("Content")
# Columns of a table of queries; its other columns are metrics.
COLUMNS = ("id", "label", "path", "hits", "scores", *BOX)


class RunError(VsearchError):
    """A run can't be read; the message names the folder and says what to do."""


@dataclass(frozen=True)
class Run:
    """The results of a fit, from its folder.

    Attributes:
        name: the shortest end of the folder's path that differs from other runs opened with it.
        folder: the run's folder.
        manifest: its bundle's manifest.
        queries: one row per answerable test query: id, label, path, one column per metric, `hits`
            (the positions in `items` of its 10 best, best first) and maybe their `scores`.
        items: the gallery: id, path, label, metadata.
        train: the train items: id, label; None without its split.csv.
        axes: the trained model's metrics on further axes, and `(graded)` relevance, as
            `{"colour": {"precision_at_1": {"value", "low", "high"}}}`.
        settings: the run's configuration, flat: `{"model.loss.init_args.margin": "0.3"}`.
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
        """What the run and its search cost, as the fit measured it; None if unmeasured."""
        cost = self.manifest.get("cost", {})
        latency = self.manifest.get("index", {}).get("latency", {})
        found = {field.name: cost.get(field.name) for field in fields(Cost)}
        return {**found, "search_p50_ms": latency.get("single_p50_ms")}


def query_table(
    queries: pd.DataFrame, scores: Scores, cosines: np.ndarray, hits: np.ndarray
) -> pd.DataFrame:
    """Return the table in QUERIES.

    Args:
        queries: all queries: id, label, path, maybe boxes.
        scores: the scores of the answerable queries.
        cosines: float (n, depth), the scores of all queries' hits.
        hits: int (n, depth), their positions in the gallery, best first; -1 after the last.
    """
    table = queries.iloc[scores.answered]
    table = table[[name for name in COLUMNS if name in table]].assign(**scores.model)
    there = hits[scores.answered] >= 0
    for name, values in (("hits", hits), ("scores", cosines)):
        rows = zip(values[scores.answered], there, strict=True)
        table[name] = [row[known] for row, known in rows]
    return table


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Open runs by their folders, or by the bundles in them."""
    bundles = [_bundle(folder) for folder in folders]
    places = []
    for bundle in bundles:
        place = bundle.parent if bundle.name == "bundle" else bundle
        places.append(place.resolve())
    return [_run(*found) for found in zip(_names(places), places, bundles, strict=True)]


def _run(name: str, folder: Path, bundle: Path) -> Run:
    if not (bundle / QUERIES).is_file():
        raise RunError(f"{bundle} has no {QUERIES}: its run is older than `compare`. Fit it again.")
    manifest = _checked(bundle)
    root = str(manifest.get("photos_root", ""))

    def read(path: Path) -> pd.DataFrame:
        return read_table(path, root).to_pandas()

    run = Run(
        name=name,
        folder=folder,
        manifest=manifest,
        queries=_readable(bundle / QUERIES, read),
        items=_readable(bundle / ITEMS, read),
        train=_if_there(folder / SPLIT, _train),
        axes=_if_there(bundle / REPORT, _axes) or {},
        settings=_if_there(folder / CONFIG, _settings) or {},
    )
    _check(bundle / QUERIES, run.queries, ("id", "label", "path", "hits"))
    _check(bundle / ITEMS, run.items, ("id", "label", "path"))
    return run


def _checked(bundle: Path) -> dict[str, Any]:
    """Return the fit's manifest, after checking that it and the compared files are unchanged.

    CURRENT has the manifest's SHA-256, and the manifest those of the files. This doesn't detect a
    consistent rewrite of all of them; the run's split.csv and config.yaml have no SHA-256.
    """
    manifest = _readable(bundle / MANIFEST, _json)
    with explained(bundle, f"reading {MANIFEST}"):
        if not (bundle / CURRENT).is_file():
            raise RunError(f"{bundle} has no {CURRENT}, so its numbers can't be verified.")
        manifest, _ = manifests(bundle, read_state(bundle)[0])
        for name in (QUERIES, ITEMS, REPORT):
            if (bundle / name).is_file():
                check_file(bundle, name, manifest)
    return manifest


def _bundle(folder: Path) -> Path:
    for place in (folder / "bundle", folder):
        if (place / MANIFEST).is_file():
            return place
    raise RunError(f"{folder} isn't a finished run: it has no {Path('bundle', MANIFEST)}.")


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the folders' paths that differ."""
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(set(folders)):
            break
    return names


def _check(path: Path, table: pd.DataFrame, needed: Sequence[str]) -> None:
    """Refuse a table that lacks columns or rows, repeats an id, or has a query without a value."""
    if lacking := [name for name in needed if name not in table]:
        raise RunError(
            f"{path} lacks the columns {lacking}: it is from another vsearch. Fit the run again."
        )
    if table.empty or table["id"].duplicated().any():
        found = "empty" if table.empty else "damaged: an id comes twice"
        raise RunError(f"{path} is {found}. Fit the run again.")
    values = table.drop(columns=[name for name in COLUMNS if name in table])
    if path.name == QUERIES and (values.empty or values.isna().any(axis=None)):
        raise RunError(
            f"{path} is damaged: {'it has no metrics' if values.empty else 'values are missing'}."
        )


def _readable(path: Path, read: Callable[[Path], Content]) -> Content:
    """Return the result of `read` for a file; a RunError names a file that it can't read."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise RunError(f"{path} can't be read: {' '.join(str(error).split())}") from error


def _if_there(path: Path, read: Callable[[Path], Content]) -> Content | None:
    return _readable(path, read) if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _train(path: Path) -> pd.DataFrame:
    # "007" and "NA" are valid ids.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.loc[table["split"] == "train", ["id", "label"]].reset_index(drop=True)


def _axes(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Read the parts of report.json that are compared."""
    report = RunReport.from_json(_json(path))
    return {
        axis: {name: asdict(found.trained) for name, found in metrics.items()}
        for axis, metrics in report.axis_metrics.items()
    }


def _settings(path: Path) -> dict[str, str]:
    settings = yaml.load(path.read_text(), yaml.BaseLoader)  # all values as text
    return {key: " ".join(str(value).split()) for key, value in leaves(settings)}


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of each leaf of nested mappings and lists; empty ones count."""
    if isinstance(node, list):
        node = dict(enumerate(node)) or node
    if not isinstance(node, dict) or not node:
        yield key, node
        return
    for name, value in node.items():
        yield from leaves(value, f"{key}.{name}" if key else str(name))
