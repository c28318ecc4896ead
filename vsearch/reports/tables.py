from rich.console import Console
from rich.text import Text

from vsearch.evaluation.axes import JOINT
from vsearch.evaluation.metrics import means, summarise
from vsearch.evaluation.naive_split import NaiveSplitClaims
from vsearch.evaluation.run_report import (
    AxisMetric,
    ExpansionReport,
    ProductsReport,
    RegionReport,
    RunReport,
    ViewsReport,
    WordsReport,
)
from vsearch.evaluation.scoring import Scores
from vsearch.plain_text import in_markdown
from vsearch.reports.calibration_tables import reliability, sentences
from vsearch.reports.index_tables import index_facts, index_sections
from vsearch.reports.metric_names import metric_name
from vsearch.reports.table import Table, interval

MEANS = ("precision_at_1", "precision_at_1_chance", "precision_at_10", "map_at_r", "ndcg_at_10")
BRIEF = ("precision_at_1", "precision_at_10")  # of the other axes, in the terminal


def headline(report: RunReport) -> Table:
    """Return each metric after training, before training and by chance."""
    metrics = report.metrics
    sides = {"trained": metrics.trained}
    if metrics.untrained is not None:
        sides["untrained"] = metrics.untrained

    header = ["metric"]
    rows = [[metric_name(metric)] for metric in metrics.trained]
    for kind in ("micro", "macro"):
        header += [f"{name} ({kind})" for name in (*sides, "chance")]
        for metric, row in zip(metrics.trained, rows, strict=True):
            row += [interval(getattr(found[metric], kind)) for found in sides.values()]
            row.append(f"{getattr(metrics.chance[metric], kind):.3f}")
    return Table(header, rows)


def views(found: ViewsReport) -> Table:
    """Return the metrics of unchanged photos and of all their views."""
    rows = []
    for metric, by in found.labels.items():
        values = map(interval, (by.one_view, by.one_view_queries, by.all_views))
        rows.append([metric_name(metric), *values, interval(by.gain, "+.3f")])
    return Table(["metric", "one view", "queries with one", "all views", "gain of all"], rows)


def views_text(found: ViewsReport) -> str:
    """Say what the table of `views` compares, and what all views cost."""
    return (
        f"Each photo is embedded unchanged and by {', '.join(found.views)}: "
        f"{found.photos_per_s:,.0f} photos of the gallery per second, decoded and embedded, "
        f"instead of {found.one_view_photos_per_s:,.0f} with one view. Both use the same weights "
        "and exact search; queries with one view search the gallery of all views. The "
        "gain of all views over one is paired by query."
    )


def regions(found: RegionReport) -> Table:
    """Return the metrics of whole photos and of all their parts."""
    rows = []
    for metric, by in found.labels.items():
        values = map(interval, (by.whole, by.regions))
        rows.append([metric_name(metric), *values, interval(by.gain, "+.3f")])
    return Table(["metric", "whole photos", "with parts", "gain"], rows)


def regions_text(found: RegionReport) -> str:
    """Say what the table of `regions` compares, and what parts cost."""
    return (
        f"The index holds {found.per_item} vectors an item: of the whole photo, and of "
        f"{found.per_item - 1} parts. Queries are whole photos; both columns are exact search. The "
        "gain is paired by query."
    )


def expansion(found: ExpansionReport) -> Table:
    """Return the metrics of single searches and of expanded queries."""
    rows = []
    for metric, by in found.labels.items():
        values = map(interval, (by.once, by.expanded))
        rows.append([metric_name(metric), *values, interval(by.gain, "+.3f")])
    return Table(["metric", "searched once", f"--expand {found.hits}", "gain"], rows)


def expansion_text(found: ExpansionReport) -> str:
    """Say what the table of `expansion` compares, and what expansion costs."""
    return (
        f"`search --expand {found.hits}` searches again with a query that includes its "
        f"{found.hits} best hits: {found.expanded_ms:.3g} ms per search instead of "
        f"{found.once_ms:.3g}. The gain is paired by query."
    )


def products(found: ProductsReport) -> Table:
    """Return how well products are found by their best photo and by the mean over their photos."""
    rows = []
    for metric, by in found.metrics.items():
        row = [metric_name(metric)]
        for one in (by.best, by.mean):
            row += _sides(one)[:2]
        rows.append([*row, interval(by.gain, "+.3f"), f"{by.best.chance:.3f}"])
    header = ["metric", "best", "untrained", "mean", "untrained", "gain of mean", "chance"]
    return Table(header, rows)


def products_sentence(found: ProductsReport) -> str:
    """Say how often photos find their product first, or why that isn't measured."""
    if not found.metrics:
        return (
            f"Finding products ({found.group}) isn't measured: no test photo has another photo of "
            "its product."
        )
    first = found.metrics["precision_at_1"]
    return (
        f"Another photo of the same product ({found.group}) is found first for "
        f"{100 * first.best.trained.value:.1f} % of {found.queries:,} test photos by a product's "
        f"best photo, for {100 * first.mean.trained.value:.1f} % by the mean (data.fuse: "
        f"{found.fuse})."
    )


def products_text(found: ProductsReport) -> str:
    """Say what the table of `products` compares."""
    if not found.metrics:
        return products_sentence(found)
    return (
        f"Each of {found.queries:,} test photos searches all other photos of the test part and the "
        f"gallery, by exact search, for its product (equal {found.group}), one of "
        f"{found.products:,}. A product counts once, by its best photo or by the mean over its "
        f"photos; searches use the {found.fuse}. {found.alone:,} test photos without another photo "
        "of their product are left out. One product is right, so MAP@R equals precision@1. The "
        "gain of the mean is paired by query."
    )


def words_text(found: WordsReport) -> str:
    """Say how well labels' names find photos, and what training has changed."""
    metric = found.precision_at_10
    said = (
        f'Words: "{found.template}", asked for each of {found.queries:,} labels, finds '
        f"precision@10 {interval(metric.trained)}; chance {metric.chance:.3f}."
    )
    if metric.untrained is None or found.gain is None:
        return f"{said} Before training it was not measured."
    gain = found.gain
    change = "has changed nothing"
    if gain.value:
        change = f"has made it {'better' if gain.value > 0 else 'worse'}"
        if gain.low <= 0 <= gain.high:
            change += ", perhaps by chance"
    before = f"{metric.untrained.value:.3f} before, gain {interval(gain, '+.3f')}"
    return f"{said} Training {change}: {before}."


def tested(scores: Scores) -> Table:
    """Return each metric with its intervals, and by chance."""
    found = summarise(scores.model, scores.labels)
    chance = means(scores.chance, scores.labels)
    rows = [
        [
            metric_name(name),
            interval(one["micro"]),
            f"{chance[name]['micro']:.3f}",
            interval(one["macro"]),
        ]
        for name, one in found.items()
    ]
    return Table(["metric", "micro", "chance", "macro"], rows)


def per_class(report: RunReport) -> Table:
    """Return each label's metrics."""
    rows = [
        [row["label"], str(row["queries"]), *(f"{row[name]:.3f}" for name in MEANS)]
        for row in report.per_class
    ]
    return Table(["label", "queries", *map(metric_name, MEANS)], rows)


def axes(report: RunReport, brief: bool = False) -> Table:
    """Return a row for each other axis and metric, or the `brief` ones; graded relevance last."""
    rows = []
    for axis, metrics in report.axis_metrics.items():
        for name, found in metrics.items():
            if not brief or axis == "(graded)" or name in (*BRIEF, JOINT.format(axis)):
                rows.append([axis, metric_name(name), *_sides(found)])
    return Table(["axis", "metric", "trained", "untrained", "chance"], rows)


def _sides(found: AxisMetric) -> list[str]:
    before = "-" if found.untrained is None else f"{found.untrained.value:.3f}"
    return [interval(found.trained), before, f"{found.chance:.3f}"]


def axis_counts(report: RunReport) -> Table:
    """Return the values and queries of each other axis."""
    rows = []
    for name, axis in report.axes.items():
        counts = (axis.values, axis.queries, axis.missing, axis.unanswerable)
        rows.append([name, *(f"{count:,}" for count in counts)])
    return Table(["axis", "values", "queries", "without a value", "without an answer"], rows)


def facts(report: RunReport) -> Table:
    """Return what was measured, and how, for people."""
    protocol = report.protocol
    model = report.model
    drawn = " (SYNTHETIC photos, drawn by vsearch)" if protocol.synthetic else ""
    optimistic = "; val chose the epoch: optimistic" if protocol.measured_on == "val" else ""
    parts = ", ".join(
        f"{part} {protocol.parts.get(part, 0):,}" for part in ("train", "val", "test")
    )
    seeds = ", ".join(f"{name} {seed}" for name, seed in protocol.seeds.items())
    missing = f" ({model.wanted} could not be downloaded)" if model.wanted else ""

    name = model.class_path.rpartition(".")[2]
    search = (
        f"{protocol.queries:,} {protocol.measured_on} photos "
        f"({protocol.unanswerable_queries} without an answer left out) search "
        f"{protocol.gallery:,} items{optimistic}"
    )
    rows = [
        [
            "catalog",
            f"{protocol.catalog}{drawn}: {protocol.items:,} items, {protocol.labels} labels",
        ],
        ["split", f"{protocol.split}: {parts}; {protocol.skipped_photos} broken photos skipped"],
        ["search", search],
        ["model", f"{name}, {model.dim}-d, epoch {model.epoch}; seeds: {seeds}"],
        ["started from", f"{model.origin} weights{missing}"],
        *index_facts(report.index),
    ]
    if report.leakage is not None:
        rows.append(["random split", _leakage(report.leakage)])
    return Table(["what", "value"], rows)


def _leakage(found: NaiveSplitClaims) -> str:
    naive = found.naive_precision_at_1
    before = f" (untrained {naive['untrained']:.3f})" if "untrained" in naive else ""
    text = (
        f"would have claimed precision@1 {naive['trained']:.3f}{before} instead of "
        f"{found.clean_precision_at_1['trained']:.3f}: {found.queries_with_copies:,} of these "
        "photos have an exact copy"
    )
    if found.queries_with_copies_in_gallery:
        text += f"; for {found.queries_with_copies_in_gallery:,} it is in this split's gallery too"
    return text


def markdown(report: RunReport) -> str:
    """Return the report as Markdown."""
    sections = [
        "# Retrieval report",
        facts(report).markdown(),
        "## Metrics",
        "With 95 % bootstrap intervals: over queries for micro (the mean over queries), within "
        f"labels for macro (the mean over labels; {report.single_query_labels} of "
        f"{len(report.per_class)} labels have a single query, which adds nothing to the interval).",
        headline(report).markdown(),
    ]
    if report.views is not None:
        sections += ["## Views", views_text(report.views), views(report.views).markdown()]
    if report.regions is not None:
        table = regions(report.regions)
        sections += ["## Parts of photos", regions_text(report.regions), table.markdown()]
    if report.expansion is not None:
        table = expansion(report.expansion)
        sections += ["## Query expansion", expansion_text(report.expansion), table.markdown()]
    if report.words is not None:
        sections += ["## Words", in_markdown(words_text(report.words))]
    if report.axes and report.graded is not None:
        sections += [
            "## Other axes",
            "The same searches; an item is right if it has the query's value of the axis "
            "(`label_and_...`: and its label). Means over queries, 95 % bootstrap intervals. "
            "Graded: an item counts by the share of these columns in which it equals the query: "
            f"{in_markdown(', '.join(report.graded.attributes))}. A missing value equals nothing.",
            axis_counts(report).markdown(),
            axes(report).markdown(),
        ]

    if report.products is not None:
        sections += ["## Products", in_markdown(products_text(report.products))]
        if report.products.metrics:
            sections.append(products(report.products).markdown())

    sections.append("## Index")
    for section in index_sections(report.index):
        sections += [section.text, section.table.markdown()]
    if report.index.frontier:
        sections.append("![frontier](frontier.png)")
    if report.calibration is not None:
        table = reliability(report.calibration)
        sections += ["## Calibration", sentences(report.calibration), table.markdown()]
    return "\n\n".join([*sections, "## Labels", per_class(report).markdown(), ""])


def brief(report: RunReport) -> Table:
    """Return `headline`, narrowed for a terminal: intervals for the trained model only."""
    metrics = report.metrics
    rows = []
    for metric, found in metrics.trained.items():
        before = "-"
        if metrics.untrained is not None:
            before = f"{metrics.untrained[metric].micro.value:.3f}"
        chance = f"{metrics.chance[metric].micro:.3f}"
        macro = f"{found.macro.value:.3f}"
        rows.append([metric_name(metric), interval(found.micro), before, chance, macro])
    return Table(["metric", "trained", "untrained", "chance", "trained, macro"], rows)


def brief_axes(report: RunReport) -> Table:
    """Return the rows of `axes` that a terminal shows."""
    return axes(report, brief=True)


def show(report: RunReport, console: Console | None = None) -> None:
    """Print the facts and the narrow tables."""
    console = console or Console()
    facts(report).show("Measured", console)
    brief(report).show("Retrieval", console)
    if report.views is not None:
        views(report.views).show(views_text(report.views), console)
    if report.regions is not None:
        regions(report.regions).show(regions_text(report.regions), console)
    if report.words is not None:
        console.print(Text(f"{words_text(report.words)}\n"))
    if report.axes:
        brief_axes(report).show("Other axes", console)
