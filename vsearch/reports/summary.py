import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from vsearch.evaluation.axes import AxesScores
from vsearch.evaluation.metrics import means, summarise
from vsearch.evaluation.scoring import Scores
from vsearch.training.datamodule import CatalogDataModule

SKIPPED = 50  # photos that are named; all are in the run's skipped.csv


def summary(
    trained: Scores, untrained: Scores | None, label_names: Sequence[str]
) -> dict[str, Any]:
    """Turn scores into the report's numbers, as plain JSON values.

    Args:
        trained: the model's scores.
        untrained: the same backbone's scores before training, or None when that wasn't measured.
        label_names: the text of each label code.

    Returns:
        metrics: {trained, untrained: {metric: {micro, macro: {value, low, high}}}, chance: {metric:
            {micro, macro}}};
        per_class: one row per label, largest class first; precision_at_1_chance is the label's
            share of the gallery.
    """
    metrics: dict[str, Any] = {"trained": _estimates(trained)}
    if untrained is not None:
        metrics["untrained"] = _estimates(untrained)
    metrics["chance"] = means(trained.chance, trained.labels)
    return {"metrics": metrics, "per_class": _per_class(trained, label_names)}


def axes_summary(trained: AxesScores, untrained: AxesScores | None) -> dict[str, Any]:
    """Turn the scores of the other axes into the report's numbers, as plain JSON values; nothing
    without axes.

    Returns:
        axes: {column: {values, missing, queries, unanswerable, metrics}}; graded: {attributes,
        queries, unanswerable, ndcg_at_10}. A metric is {trained, untrained: {value, low, high},
        chance}, over queries; an axis without an answerable query has none.
    """
    if not trained.axes:
        return {}
    graded = _beside(trained.graded, None if untrained is None else untrained.graded)
    metrics = graded.pop("metrics")
    return {
        "axes": {
            name: {"values": axis.values, "missing": axis.missing}
            | _beside(axis.scores, None if untrained is None else untrained.axes[name].scores)
            for name, axis in trained.axes.items()
        },
        "graded": {"attributes": ["label", *trained.axes], **graded, **metrics},
    }


def protocol(data: CatalogDataModule, scores: Scores) -> dict[str, Any]:
    """Return what was searched with, and in what: the frame that the metrics hold in."""
    items = data.items
    return {
        "catalog": type(data.catalog).__name__,
        "synthetic": data.catalog.synthetic,
        "split": type(data.split).__name__,
        "items": len(items),
        "labels": data.n_labels,
        "parts": items["split"].value_counts().to_dict(),
        "measured_on": str(data.part("test")["split"].iloc[0]),
        "catalog_report": getattr(data.catalog, "report", {}),
        "seeds": _seeds(data),
        "skipped_photos": data.n_skipped,
        "queries": len(scores.labels),
        "unanswerable_queries": scores.unanswerable,
        "gallery": len(data.gallery("test")),
    }


def data_facts(data: CatalogDataModule) -> dict[str, Any]:
    """Return what the parts are made of, as plain JSON values.

    Returns:
        labels: {label, all, train, val, test} photos of each, the largest first; copies: photos
        that equal an earlier one; skipped: {id, label, error} of the first photos that could not be
        read.
    """
    table = pd.crosstab(data.items["label"], data.items["split"])
    sizes = table.assign(all=table.sum(axis=1)).sort_values("all", ascending=False, kind="stable")
    skipped = data.skipped.head(SKIPPED)
    return {
        "labels": [
            {"label": str(label), **row}
            for label, row in zip(sizes.index, sizes.to_dict("records"), strict=True)
        ],
        "copies": int(data.content_hashes.duplicated().sum()),
        "skipped": []
        if skipped.empty
        else skipped[["id", "label", "error"]].astype(str).to_dict("records"),
    }


def _seeds(data: CatalogDataModule) -> dict[str, int | None]:
    everything = os.environ.get("PL_GLOBAL_SEED")  # set by Lightning's seed_everything
    drawn = getattr(data.split, "seed", None)
    return {
        "everything": int(everything) if everything else None,
        "split": drawn,
        "batches": data.seed,
    }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that the numbers rest on."""
    names = (
        "vsearch",
        "torch",
        "torchvision",
        "lightning",
        "pytorch-metric-learning",
        "faiss-cpu",
        "numpy",
        "pillow",
    )
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except (
        PackageNotFoundError
    ):  # run from a folder of sources: that must not cost a trained model its bundle
        return "not installed"


def _estimates(scores: Scores) -> dict[str, dict[str, dict[str, float]]]:
    found = summarise(scores.model, scores.labels)
    return {
        name: {kind: asdict(value) for kind, value in kinds.items()}
        for name, kinds in found.items()
    }


def _beside(trained: Scores, untrained: Scores | None) -> dict[str, Any]:
    counts = {"queries": len(trained.labels), "unanswerable": trained.unanswerable}
    if not counts["queries"]:
        return {**counts, "metrics": {}}
    sides = {"trained": _estimates(trained)} | (
        {} if untrained is None else {"untrained": _estimates(untrained)}
    )
    expected = means(trained.chance, trained.labels)
    metrics = {
        metric: {side: found[metric]["micro"] for side, found in sides.items()}
        | {"chance": expected[metric]["micro"]}
        for metric in trained.model
    }
    return {**counts, "metrics": metrics}


def _per_class(scores: Scores, label_names: Sequence[str]) -> list[dict[str, Any]]:
    table = pd.DataFrame(scores.model).groupby(scores.labels)
    rows = table.mean()
    rows["precision_at_1_chance"] = (
        pd.Series(scores.chance["precision_at_1"]).groupby(scores.labels).mean()
    )
    rows.insert(0, "queries", table.size())
    rows.insert(0, "label", np.asarray(label_names, dtype=object)[rows.index.to_numpy()])
    ordered = rows.sort_values("queries", ascending=False, kind="stable")
    return [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]
