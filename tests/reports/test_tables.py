from io import StringIO

import pytest
from made_up_report import CHANGE, beside, changed, estimate, without
from rich.console import Console

from vsearch.reports.html.render import render
from vsearch.reports.metric_names import metric_name
from vsearch.reports.table import Table
from vsearch.reports.tables import (
    axes,
    axis_counts,
    brief,
    brief_axes,
    facts,
    headline,
    markdown,
    per_class,
    products,
    products_sentence,
    show,
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def rows_of(text: str, first: str) -> list[list[str]]:
    return [found for line in text.splitlines() if (found := cells(line))[0] == first]


def test_each_metric_stands_beside_the_untrained_and_chance(report):
    table = headline(report)
    assert table.header == [
        "metric",
        "trained (micro)",
        "untrained (micro)",
        "chance (micro)",
        "trained (macro)",
        "untrained (macro)",
        "chance (macro)",
    ]
    assert table.rows == [
        [
            "precision@1",
            "0.900 [0.800, 0.950]",
            "0.500 [0.400, 0.550]",
            "0.321",
            "0.800 [0.700, 0.850]",
            "0.400 [0.300, 0.450]",
            "0.322",
        ],
        [
            "MAP@R",
            "0.700 [0.600, 0.750]",
            "0.300 [0.200, 0.350]",
            "0.123",
            "0.600 [0.500, 0.650]",
            "0.200 [0.100, 0.250]",
            "0.124",
        ],
    ]


def test_without_a_baseline_there_is_no_untrained_column(report):
    report = without(report, "metrics", "untrained")
    table = headline(report)
    assert table.header == [
        "metric",
        "trained (micro)",
        "chance (micro)",
        "trained (macro)",
        "chance (macro)",
    ]
    assert table.rows[0] == [
        "precision@1",
        "0.900 [0.800, 0.950]",
        "0.321",
        "0.800 [0.700, 0.850]",
        "0.322",
    ]
    assert "untrained" not in markdown(report)


def test_the_report_says_how_many_labels_have_a_single_query(report):
    assert "0 of 2 labels have a single query" in markdown(report)
    report.per_class[1]["queries"] = 1
    assert "1 of 2 labels have a single query, which adds nothing to the interval" in markdown(
        report
    )


def test_the_narrow_table_has_the_same_numbers(report):
    table = brief(report)
    assert table.header == ["metric", "trained", "untrained", "chance", "trained, macro"]
    assert table.rows[1] == ["MAP@R", "0.700 [0.600, 0.750]", "0.300", "0.123", "0.600"]
    report = without(report, "metrics", "untrained")
    assert brief(report).rows[1] == ["MAP@R", "0.700 [0.600, 0.750]", "-", "0.123", "0.600"]


def test_classes_keep_their_order(report):
    table = per_class(report)
    names = ["precision@1", "precision@1 chance", "precision@10", "MAP@R", "NDCG@10"]
    assert table.header == ["label", "queries", *names]
    assert table.rows == [
        ["red|pink", "200", "0.810", "0.250", "0.620", "0.430", "0.640"],
        ["blue", "30", "0.810", "0.250", "0.620", "0.430", "0.640"],
    ]


def test_each_axis_and_metric_has_a_row_and_graded_relevance_the_last(with_axes):
    table = axes(with_axes)
    assert table.header == ["axis", "metric", "trained", "untrained", "chance"]
    assert table.rows == [
        ["colour", "precision@1", "0.710 [0.610, 0.760]", "0.310", "0.160"],
        ["colour", "cmc@10", "0.920 [0.820, 0.970]", "0.520", "0.370"],
        ["(graded)", "NDCG@10", "0.660 [0.560, 0.710]", "0.260", "0.110"],
    ]
    assert brief_axes(with_axes) == Table(table.header, [table.rows[0], table.rows[2]])
    with_axes = without(with_axes, "graded", "ndcg_at_10", "untrained")
    assert axes(with_axes).rows[2] == [
        "(graded)",
        "NDCG@10",
        "0.660 [0.560, 0.710]",
        "-",
        "0.110",
    ]


def test_what_an_axis_left_out_is_counted(with_axes):
    assert axis_counts(with_axes) == Table(
        ["axis", "values", "queries", "without a value", "without an answer"],
        [["colour", "4", "220", "1,234", "3"], ["size", "4", "0", "1,234", "3"]],
    )


def test_markdown_has_other_axes_only_where_there_are_some(report, with_axes):
    assert "Other axes" not in markdown(report)
    text = markdown(with_axes)
    assert "label, colour, size" in text
    for row in (*axes(with_axes).rows, *axis_counts(with_axes).rows):
        assert row in rows_of(text, row[0])


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_photos_are_called_so_and_only_they(report, synthetic):
    report = changed(report, "protocol", "synthetic", value=synthetic)
    assert ("SYNTHETIC" in markdown(report)) == synthetic
    assert ("SYNTHETIC" in dict(facts(report).rows)["catalog"]) == synthetic


def test_facts_say_what_was_measured_and_how(report):
    assert dict(facts(report).rows) == {
        "catalog": "FolderCatalog: 1,234 items, 2 labels",
        "split": "StratifiedSplit: train 1,000, val 0, test 234; 3 broken photos skipped",
        "search": "230 test photos (4 without an answer left out) search 1,000 items",
        "model": "TinyBackbone, 8-d, epoch 5; seeds: everything 7, split 3, batches None",
        "started from": "random weights",
        "index": "HNSW32, built in 0.12 s",
        "size": "2.5 MiB on disk, 3.0 MiB in memory; 2,621 bytes per item",
        "index recall": "@1 0.9987, @10 0.9876, @100 0.9765 of what exact search finds",
        "one search, index alone": "p50 0.11 ms, p99 0.22 ms (4 threads)",
        "32 at once": "p50 3.30 ms, p99 4.40 ms",
    }


def test_markdown_has_a_row_for_each_metric_class_and_fact(report):
    text = markdown(report)
    for metric in report.metrics.trained:
        chance = report.metrics.chance[metric]
        row = next(
            row for row in rows_of(text, metric_name(metric)) if len(row) == 7
        )  # the index's table has the same metrics
        assert (row[3], row[6]) == (f"{chance.micro:.3f}", f"{chance.macro:.3f}")
    assert len(rows_of(text, "blue")) == 1
    for name, value in facts(report).rows:
        assert rows_of(text, name) == [[name, value]]


def test_what_a_random_split_would_have_claimed_stands_beside_what_is_so(report):
    leakage = {
        "queries_with_copies": 12,
        "queries_with_copies_in_gallery": 0,
        "naive_precision_at_1": {"trained": 0.92, "untrained": 0.55},
        "clean_precision_at_1": {"trained": 0.9, "untrained": 0.5},
    }
    report = changed(report, "leakage", value=leakage)
    assert dict(facts(report).rows)["random split"] == (
        "would have claimed precision@1 0.920 (untrained 0.550) instead of 0.900: 12 of these "
        "photos have an exact copy"
    )
    report = changed(report, "leakage", "queries_with_copies_in_gallery", value=3)
    assert dict(facts(report).rows)["random split"].endswith(
        "; for 3 it is in this split's gallery too"
    )
    report = changed(report, "leakage", value={})
    assert "random split" not in dict(facts(report).rows)


def test_weights_that_could_not_be_had_are_named(report):
    report = changed(report, "model", "wanted", value="torchvision X.V1")
    assert (
        dict(facts(report).rows)["started from"]
        == "random weights (torchvision X.V1 could not be downloaded)"
    )


def test_a_label_with_a_bar_stays_in_its_cell(report):
    assert rows_of(markdown(report), r"red\|pink") == [
        [r"red\|pink", "200", "0.810", "0.250", "0.620", "0.430", "0.640"]
    ]


def test_show_fits_a_terminal_of_80_columns_with_every_number_whole(with_axes):
    console = Console(file=StringIO(), width=80)
    colour = with_axes.to_json()["axes"]["colour"]
    with_axes = changed(with_axes, "axes", "masterCategory", value=colour)
    show(with_axes, console)
    text = console.file.getvalue()
    for row in (*brief(with_axes).rows, *brief_axes(with_axes).rows):
        assert any(all(cell in line for cell in row) for line in text.splitlines()), row
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_figures_on_val_are_called_optimistic_and_only_they(report):
    assert "optimistic" not in markdown(report)
    report = changed(report, "protocol", "measured_on", value="val")
    assert "230 val photos" in markdown(report)
    assert "optimistic" in markdown(report)


def test_expanded_queries_stand_beside_what_they_cost(report):
    assert "Query expansion" not in markdown(report)
    quality = {"once": estimate(0.7), "expanded": estimate(0.72), "gain": CHANGE}
    expansion = {
        "hits": 10,
        "labels": {"map_at_r": quality},
        "once_ms": 2.03,
        "expanded_ms": 4.39,
    }
    found = changed(report, "expansion", value=expansion)
    text = markdown(found)
    assert "`search --expand 10`" in text
    assert "4.39 ms per search instead of 2.03" in text
    (row,) = rows_of(text.partition("## Query expansion")[2].partition("##")[0], "MAP@R")
    assert row[1:] == [
        "0.700 [0.600, 0.750]",
        "0.720 [0.620, 0.770]",
        "-0.010 [-0.020, +0.000]",
    ]
    page = render("headline.html", report=found, run=None, plots={})
    assert "instead of 2.03" in page


def test_views_stand_beside_what_they_cost(report):
    assert "Views" not in markdown(report)
    quality = {
        "one_view": estimate(0.7),
        "one_view_queries": estimate(0.72),
        "all_views": estimate(0.75),
        "gain": CHANGE,
    }
    views = {
        "views": ["Flip"],
        "labels": {"map_at_r": quality},
        "photos_per_s": 51.2,
        "one_view_photos_per_s": 98.6,
    }
    found = changed(report, "views", value=views)
    text = markdown(found)
    assert "by Flip: 51 photos of the gallery per second" in text
    assert "instead of 99 with one view" in text
    (row,) = rows_of(text.partition("## Views")[2].partition("##")[0], "MAP@R")
    assert row[1:] == [
        "0.700 [0.600, 0.750]",
        "0.720 [0.620, 0.770]",
        "0.750 [0.650, 0.800]",
        "-0.010 [-0.020, +0.000]",
    ]
    page = render("headline.html", report=found, run=None, plots={})
    assert "instead of 99 with one view" in page
    assert "0.720" in page


def test_products_are_found_by_best_and_by_mean(report):
    assert "## Products" not in markdown(report)
    metric = {"best": beside(0.8), "mean": beside(0.7), "gain": CHANGE}
    value = {"group": "sku", "fuse": "best", "products": 1234, "queries": 50, "alone": 6}
    found = changed(report, "products", value={**value, "metrics": {"precision_at_1": metric}})
    assert products(found.products).rows == [
        [
            "precision@1",
            "0.800 [0.700, 0.850]",
            "0.400",
            "0.700 [0.600, 0.750]",
            "0.300",
            "-0.010 [-0.020, +0.000]",
            "0.250",
        ]
    ]
    assert products_sentence(found.products) == (
        "Another photo of the same product (sku) is found first for 80.0 % of 50 test photos by a "
        "product's best photo, for 70.0 % by the mean (data.fuse: best)."
    )
    text = markdown(found)
    assert "its product (equal sku), one of 1,234." in text
    assert rows_of(text.partition("## Products")[2].partition("##")[0], "precision@1")
    assert "6 test photos without another photo" in render(
        "headline.html", report=found, run=None, plots={}
    )
