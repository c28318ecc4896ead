import pytest
from jinja2 import UndefinedError

from vsearch.reports.html.charts import plain
from vsearch.reports.html.render import environment, percent, share
from vsearch.reports.metric_names import metric_name


def test_another_page_can_stand_in_the_frame():
    blocks = "{% block title %}Check{% endblock %}{% block main %}<p>{{ word }}</p>{% endblock %}"
    page = environment().from_string('{% extends "base.html" %}' + blocks).render(word="<script>")
    assert page.startswith("<!doctype html>")
    assert "<title>Check</title>" in page
    assert "<p>&lt;script&gt;</p>" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "Plotly" not in page


def test_a_value_that_is_not_there_is_an_error():
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nobody }}").render()


def test_numbers_as_people_read_them():
    assert [share(0.12345), share(-0.00001), share(None), share(1.0, 1)] == [
        "0.123",
        "0.000",
        "-",
        "1.0",
    ]
    assert [percent(0.1234), percent(None)] == ["12.3 %", "-"]
    names = ["precision_at_1", "map_at_r", "ndcg_at_10", "r_precision", "cmc_at_10_macro"]
    assert [metric_name(name) for name in names] == [
        "precision@1",
        "MAP@R",
        "NDCG@10",
        "R-precision",
        "cmc@10, macro",
    ]


def test_a_charts_words_are_no_tags_and_no_colours():
    assert plain("<b>a</b> & var:ink") == "&lt;b&gt;a&lt;/b&gt; &amp; var&#58;ink"
    assert plain("x" * 100, 10) == "x" * 9 + "…"
