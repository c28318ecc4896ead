import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from vsearch.evaluation.axes import AxesScores
from vsearch.evaluation.comparing.paired_bootstrap import Difference, paired_bootstrap
from vsearch.evaluation.expansion import ExpansionScores
from vsearch.evaluation.final_evaluation import RegionScores, ViewsScores
from vsearch.evaluation.metrics import Estimate, means, summarise
from vsearch.evaluation.products import ProductScores
from vsearch.evaluation.run_report import (
    AxisMetric,
    AxisReport,
    Chance,
    DataReport,
    Estimates,
    ExpansionQuality,
    ExpansionReport,
    GradedReport,
    LabelQuality,
    Metrics,
    ProductMetric,
    ProductsReport,
    Protocol,
    RegionQuality,
    RegionReport,
    SkippedPhoto,
    ViewsQuality,
    ViewsReport,
    WordsReport,
)
from vsearch.evaluation.scoring import Scores
from vsearch.evaluation.split_data import SplitData
from vsearch.models.text.encoder import TEMPLATE

LABELS = ("precision_at_1", "precision_at_10", "cmc_at_10", "map_at_r")
SKIPPED = 50  # named photos; all are in the run's skipped.csv
LIBRARIES = (
    "vsearch",
    "torch",
    "torchvision",
    "lightning",
    "pytorch-metric-learning",
    "faiss-cpu",
    "numpy",
    "pillow",
)


def metrics(trained: Scores, untrained: Scores | None) -> Metrics:
    """Summarise the model's scores, and those of the same backbone before training."""
    expected = means(trained.chance, trained.labels)
    return Metrics(
        trained=_estimates(trained),
        untrained=None if untrained is None else _estimates(untrained),
        chance={name: Chance(**kinds) for name, kinds in expected.items()},
    )


def per_class(scores: Scores, label_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of `RunReport.per_class`."""
    table = pd.DataFrame(scores.model).groupby(scores.labels)
    rows = table.mean()
    chance = pd.Series(scores.chance["precision_at_1"]).groupby(scores.labels).mean()
    rows["precision_at_1_chance"] = chance
    rows.insert(0, "queries", table.size())
    rows.insert(0, "label", np.asarray(label_names, dtype=object)[rows.index.to_numpy()])
    ordered = rows.sort_values("queries", ascending=False, kind="stable")
    return [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]


def axes(trained: AxesScores, untrained: AxesScores | None) -> dict[str, AxisReport]:
    """Summarise the other axes' scores; an axis without answerable queries has no metrics."""
    reports = {}
    for name, axis in trained.axes.items():
        before = None if untrained is None else untrained.axes[name].scores
        reports[name] = AxisReport(
            values=axis.values,
            missing=axis.missing,
            queries=len(axis.scores.labels),
            unanswerable=axis.scores.unanswerable,
            metrics=_beside(axis.scores, before),
        )
    return reports


def graded(trained: AxesScores, untrained: AxesScores | None) -> GradedReport | None:
    """Summarise graded relevance; None without axes."""
    if not trained.axes:
        return None
    found = trained.graded
    return GradedReport(
        attributes=["label", *trained.axes],
        queries=len(found.labels),
        unanswerable=found.unanswerable,
        **_beside(found, None if untrained is None else untrained.graded),
    )


def products(
    data: SplitData, trained: ProductScores | None, untrained: ProductScores | None
) -> ProductsReport | None:
    """Summarise how products are found; None if the catalog has none."""
    if trained is None or data.group is None:
        return None
    best = _beside(trained.best, None if untrained is None else untrained.best)
    mean = _beside(trained.mean, None if untrained is None else untrained.mean)
    gains = _gains(trained.mean, trained.best, tuple(best)) if best else {}
    return ProductsReport(
        group=data.group,
        fuse=data.fuse,
        products=trained.products,
        queries=len(trained.best.labels),
        alone=trained.best.unanswerable,
        metrics={
            name: ProductMetric(best=best[name], mean=mean[name], gain=gains[name]) for name in best
        },
    )


def label_quality(served: Scores, exact: Scores | None) -> dict[str, LabelQuality]:
    """Separate the model's errors from the index's: label metrics by exact search and by the index.

    Args:
        served: the queries' scores with the served index.
        exact: their scores with exact search; None: the index is exact.
    """
    ours = _means(served)
    if exact is None:
        return {
            name: LabelQuality(exact=found, served=found, difference=None)
            for name, found in ours.items()
        }

    theirs = _means(exact)
    changes = _gains(served, exact)
    return {
        name: LabelQuality(exact=theirs[name], served=ours[name], difference=changes[name])
        for name in LABELS
    }


def views(found: ViewsScores | None) -> ViewsReport | None:
    """Summarise the benefit and cost of views."""
    if found is None:
        return None
    one_view = _means(found.one_view)
    one_view_queries = _means(found.one_view_queries)
    all_views = _means(found.all_views)
    gains = _gains(found.all_views, found.one_view)
    return ViewsReport(
        views=found.views,
        labels={
            name: ViewsQuality(
                one_view=one_view[name],
                one_view_queries=one_view_queries[name],
                all_views=all_views[name],
                gain=gains[name],
            )
            for name in LABELS
        },
        photos_per_s=found.photos_per_s,
        one_view_photos_per_s=found.one_view_photos_per_s,
    )


def regions(found: RegionScores | None) -> RegionReport | None:
    """Summarise the benefit of parts of photos in the index."""
    if found is None:
        return None
    whole = _means(found.whole)
    with_regions = _means(found.regions)
    gains = _gains(found.regions, found.whole)
    return RegionReport(
        per_item=found.per_item,
        labels={
            name: RegionQuality(whole=whole[name], regions=with_regions[name], gain=gains[name])
            for name in LABELS
        },
    )


def expansion(found: ExpansionScores | None) -> ExpansionReport | None:
    """Summarise the benefit and cost of expanded queries."""
    if found is None:
        return None
    once = _means(found.once)
    expanded = _means(found.expanded)
    gains = _gains(found.expanded, found.once)
    return ExpansionReport(
        hits=found.hits,
        labels={
            name: ExpansionQuality(once=once[name], expanded=expanded[name], gain=gains[name])
            for name in LABELS
        },
        once_ms=found.once_ms,
        expanded_ms=found.expanded_ms,
    )


def words(trained: Scores | None, untrained: Scores | None) -> WordsReport | None:
    """Summarise what labels' names find as texts; None without a text tower."""
    if trained is None:
        return None
    metric = "precision_at_10"
    return WordsReport(
        template=TEMPLATE.format("{label}"),
        queries=len(trained.labels),
        precision_at_10=_beside(trained, untrained)[metric],
        gain=None if untrained is None else _gains(trained, untrained)[metric],
    )


def protocol(data: SplitData, scores: Scores) -> Protocol:
    """Return the queries and the gallery of the measurement."""
    parts = data.items["split"].value_counts()
    everything = os.environ.get("PL_GLOBAL_SEED")  # set by Lightning's seed_everything
    return Protocol(
        catalog=type(data.catalog).__name__,
        synthetic=data.catalog.synthetic,
        split=type(data.split).__name__,
        items=len(data.items),
        labels=data.items["label"].nunique(),
        parts={str(part): int(n) for part, n in parts.items()},
        measured_on=data.measured_on,
        catalog_report=getattr(data.catalog, "report", {}),
        seeds={
            "everything": int(everything) if everything else None,
            "split": getattr(data.split, "seed", None),
            "batches": data.batch_seed,
        },
        skipped_photos=len(data.skipped),
        queries=len(scores.labels),
        unanswerable_queries=scores.unanswerable,
        gallery=len(data.gallery),
    )


def data_facts(data: SplitData) -> DataReport:
    """Return the contents of the parts."""
    table = pd.crosstab(data.items["label"], data.items["split"])
    sizes = table.assign(all=table.sum(axis=1)).sort_values("all", ascending=False, kind="stable")
    rows = sizes.rename_axis("label").reset_index().astype({"label": str})
    skipped = data.skipped.head(SKIPPED)
    return DataReport(
        labels=[{str(name): n for name, n in row.items()} for row in rows.to_dict("records")],
        copies=int(data.content_hashes.duplicated().sum()),
        skipped=[
            SkippedPhoto(id=str(row.id), label=str(row.label), error=str(row.error))
            for row in skipped.itertuples()
        ],
    )


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that the numbers depend on."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a source folder: a trained model must still get its bundle
        return "not installed"


def _estimates(scores: Scores) -> dict[str, Estimates]:
    found = summarise(scores.model, scores.labels)
    return {name: Estimates(**kinds) for name, kinds in found.items()}


def _beside(trained: Scores, untrained: Scores | None) -> dict[str, AxisMetric]:
    if not len(trained.labels):
        return {}
    after = _estimates(trained)
    before = None if untrained is None else _estimates(untrained)
    expected = means(trained.chance, trained.labels)
    return {
        metric: AxisMetric(
            trained=after[metric].micro,
            untrained=None if before is None else before[metric].micro,
            chance=expected[metric]["micro"],
        )
        for metric in trained.model
    }


def _values(scores: Scores, names: Sequence[str] = LABELS) -> dict[str, np.ndarray]:
    return {name: scores.model[name] for name in names}


def _means(scores: Scores) -> dict[str, Estimate]:
    found = summarise(_values(scores), scores.labels)
    return {name: by["micro"] for name, by in found.items()}


def _gains(scores: Scores, base: Scores, names: Sequence[str] = LABELS) -> dict[str, Difference]:
    found = paired_bootstrap(_values(scores, names), _values(base, names), scores.labels)
    return {name: by["micro"] for name, by in found.items()}
