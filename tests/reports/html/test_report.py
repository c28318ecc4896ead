import json
import re
from dataclasses import replace

import numpy as np
import pytest
from adversarial.tables import SCRIPT
from made_up_report import changed, without
from small_findings import make, write_photos

from vsearch.evaluation.run_report import SkippedPhoto
from vsearch.reports.html import report
from vsearch.reports.html.report import LIMIT, SECTIONS, Kind, report_file, report_html


def text(findings) -> str:
    return report_html(findings).decode()


def block(page: str, name: str) -> dict:
    return json.loads(
        re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[1]
    )


def left_out(page: str) -> dict[str, str]:
    sections = re.findall(r'<section id="(\w+)".*?</h2>\s*(.*?)</section>', page, re.S)
    return {name: body for name, body in sections if body.startswith('<p class="left-out">')}


def test_every_section_is_drawn(findings):
    page = text(findings)
    assert left_out(page) == {} or set(left_out(page)) == {"mislabelled"}
    assert re.findall(r'<section id="(\w+)"', page) == list(SECTIONS)
    places = set(re.findall(r'data-plot="([\w-]+)"', page))
    assert places == set(block(page, "figures"))
    assert len(places) == 8


def test_the_same_findings_give_the_same_file(findings):
    assert report_html(findings) == report_html(findings)


def test_photos_are_there_once_by_their_keys(findings):
    page = text(findings)
    photos = block(page, "photos")
    wanted = set(re.findall(r'data-photo="([\w-]+)"', page))
    assert wanted <= set(photos)
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in photos.values())


def test_nothing_is_fetched(findings):
    page = text(findings)
    ours = page.replace(report.render.__globals__["plotly_js"](), "")
    assert not re.search(r"""(src|href)=(?!["']?(#|data:))""", ours)
    assert "@import" not in ours
    assert not re.search(r"https?://", ours)
    assert "default-src 'none'" in ours


def test_what_the_catalog_says_is_never_markup(photos):
    found = make(photos, [SCRIPT, "b", "__proto__", "constructor"], spread=0.9)
    hostile = replace(found, config=SCRIPT, items=found.items.assign(id=SCRIPT + found.items["id"]))
    hostile.report.data.skipped[:] = [SkippedPhoto(id=SCRIPT, label=SCRIPT, error=SCRIPT)]
    page = text(hostile)
    ours = page.replace(report.render.__globals__["plotly_js"](), "")
    assert "<script>window.hacked" not in ours
    assert "<img src=x" not in ours
    assert "{{ 7*7 }}" in ours
    assert any(SCRIPT in str(name) for name in _texts(block(page, "figures")["embedding_map-map"]))


def _texts(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [text for one in node for text in _texts(one)]
    return [node]


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("training", lambda found: replace(found, report=without(found.report, "training"))),
        (
            "error_split",
            lambda found: replace(found, report=without(found.report, "index", "labels")),
        ),
        ("embedding_map", lambda found: replace(found, vectors=None)),
        ("scores", lambda found: replace(found, queries=found.queries.drop(columns="scores"))),
        ("classes", lambda found: replace(found, report=replace(found.report, per_class=[]))),
    ],
)
def test_what_is_missing_is_a_sentence(findings, section, change, caplog):
    page = text(change(findings))
    assert section in left_out(page)
    assert len(re.sub("<.*?>", "", left_out(page)[section]).strip()) > 20
    assert not caplog.records


def test_without_calibration_there_are_histograms_but_no_threshold(findings):
    figures = block(text(replace(findings, calibration=None)), "figures")
    assert figures["scores-best_hits"]["layout"]["shapes"] == []
    assert "scores-probability" not in figures
    assert block(text(findings), "figures")["scores-best_hits"]["layout"]["shapes"]


def test_an_old_report_is_drawn_too(findings):
    old = without(without(findings.report, "training"), "data")
    page = text(replace(findings, report=old, config=None, fingerprint=None))
    assert set(left_out(page)) - {"mislabelled"} == {"training"}


def test_a_section_that_fails_costs_only_itself(findings, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("a library says no")

    monkeypatch.setitem(report.SECTIONS, "embedding_map", Kind("Map of the embedding", fails))
    page = text(findings)
    assert "could not be drawn" in left_out(page)["embedding_map"]
    assert "confusion" not in left_out(page)
    assert "a library says no" in caplog.text


def test_photos_that_are_gone_cost_only_themselves(findings):
    gone = replace(
        findings,
        items=findings.items.assign(path="gone.png"),
        queries=findings.queries.assign(path="gone.png"),
    )
    page = text(gone)
    assert block(page, "photos") == {}
    assert "extremes" not in left_out(page)


def test_a_report_that_can_not_be_drawn_costs_no_bundle(findings, caplog):
    assert report_file(replace(findings, report=None)) == {}
    assert "complete without it" in caplog.text


def test_one_label(photos):
    page = text(make(photos, ["only"]))
    assert {"confusion", "mislabelled"} <= set(left_out(page))
    assert "could not be drawn" not in page


def test_a_few_items(photos):
    page = text(make(photos, ["a", "b"], n_items=4, n_queries=2))
    assert "could not be drawn" not in page


def test_a_large_catalog_stays_under_ten_megabytes(tmp_path):
    noise = write_photos(tmp_path / "noise", 60, side=96, noisy=True)
    names = [f"label {number} " + "long " * 12 for number in range(90)]
    big = make(noise, names, n_items=44_000, n_queries=2_000, spread=1.5)
    page = report_html(big)
    assert 8_000_000 < len(page) <= LIMIT < 10_000_000
    wanted = set(re.findall(r'data-photo="([\w-]+)"', page.decode()))
    photos = block(page.decode(), "photos")
    assert wanted <= set(photos)  # rows come before the map
    assert len(photos) - len(wanted) > 300


def test_photos_take_what_is_left(findings):
    assert len(report_html(findings, LIMIT)) > 5_000_000
    tight = len(report_html(findings, 0)) + 3_000
    page = report_html(findings, tight)
    assert len(page) <= tight
    assert 0 < len(block(page.decode(), "photos")) < len(block(text(findings), "photos"))


def test_queries_without_hits(findings):
    queries = findings.queries.assign(
        hits=[np.zeros(0, dtype=int)] * len(findings.queries),
        scores=[np.zeros(0)] * len(findings.queries),
    )
    page = text(replace(findings, queries=queries))
    assert "could not be drawn" not in page
    assert "Nothing was found." in page


def test_what_a_random_split_would_have_claimed_stands_beside_what_is_so(findings):
    leakage = {
        "queries_with_copies": 12,
        "queries_with_copies_in_gallery": 3,
        "naive_precision_at_1": {"trained": 0.913, "untrained": 0.512},
        "clean_precision_at_1": {"trained": 0.871, "untrained": 0.444},
    }
    page = text(replace(findings, report=changed(findings.report, "leakage", value=leakage)))
    for words in (
        "12 queries have an exact copy",
        "3 of them in this split",
        "0.913",
        "0.512",
        "0.871",
        "0.444",
    ):
        assert words in page
    assert "random split" not in text(findings)
