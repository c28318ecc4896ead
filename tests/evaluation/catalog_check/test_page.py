import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from adversarial.tables import MARKUP
from PIL import Image
from planted import HUES, Catalog, picture

from vsearch.cli.catalog_argument import read_source
from vsearch.evaluation.catalog_check.check import Checked, check
from vsearch.evaluation.catalog_check.findings import Limits
from vsearch.reports.html import catalog_check as module
from vsearch.reports.html.catalog_check import catalog_check_html


class Reader(HTMLParser):
    """The tags and the text of a report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = list[str](), list[tuple[str, str | None]](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


def checked(catalog: Catalog, **options: Path) -> Checked:
    return check(read_source(catalog.csv()), Limits(), **options)


def test_pictures_and_words_of_what_is_found(catalog):
    catalog.copy("red-3", "red-conflict", "blue")
    catalog.add("bad", "red", b"no photo")
    catalog.add("wrong", "red", picture(950, HUES["green"]))
    found = Reader(
        catalog_check_html(
            checked(catalog, bundle=catalog.bundle(), split=catalog.split(red_3="test"))
        )
    )
    for word in (
        "red-conflict",
        "bad",
        "wrong",
        "Its nearest",
        "· test",
        "conflict: identical photos",
        "no picture",
    ):
        assert word in found.text
    pictures = [value for name, value in found.attributes if name == "src"]
    assert len(pictures) >= 8
    assert all(value.startswith("data:image/jpeg;base64,") for value in pictures)


def test_it_loads_nothing(catalog):
    catalog.copy("red-3", "red-copy")
    text = catalog_check_html(checked(catalog))
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|url\(|@import", text)
    assert not {"script", "link", "iframe"} & set(Reader(text).tags)


def test_hostile_names_stay_text(catalog):
    catalog.copy("red-3", MARKUP, MARKUP)
    found = Reader(catalog_check_html(checked(catalog)))
    assert "script" not in found.tags
    assert MARKUP in found.text


def test_nothing_is_wrong(catalog):
    found = Reader(catalog_check_html(checked(catalog)))
    assert "Nothing found: missing, broken" in found.text
    assert (
        "Not checked, because no split or bundle was given: leak, near-leak, mislabel, outlier"
        in found.text
    )
    assert "img" not in found.tags


def test_many_findings_are_a_sample_and_the_pictures_have_a_budget(catalog, monkeypatch):
    for number in range(40):
        catalog.add(f"small-{number}", "red", picture(500 + number, HUES["red"], (20, 20)))
    whole = checked(catalog)
    found = Reader(catalog_check_html(whole))
    assert "The worst 12 of 40" in found.text
    assert found.tags.count("img") == 12
    monkeypatch.setattr(module, "MOST_BYTES", 2000)
    fewer = Reader(catalog_check_html(whole))
    assert 0 < fewer.tags.count("img") < 12
    assert fewer.text.count("no picture") + fewer.tags.count("img") == 12


def test_a_large_group_is_cut(catalog):
    for number in range(20):
        catalog.copy("red-3", f"copy-{number}")
    text = Reader(catalog_check_html(checked(catalog))).text
    assert "(13 more photos)" in text


def test_a_photo_that_went_since_has_no_picture(catalog):
    catalog.add("dot", "red", Image.new("RGB", (1, 1), "red"))
    whole = checked(catalog)
    Path(whole.catalog.items["path"].iloc[-1]).unlink()
    assert "no picture" in catalog_check_html(whole)
