import shutil
from dataclasses import replace

import pytest
from adversarial.tables import SCRIPT
from drawn import drawn
from lightning.pytorch.callbacks import ModelCheckpoint
from small_findings import make
from test_module import data_of, learner, trainer

from callbacks.build_index import BuildIndex
from vsearch.data.catalogs.demo import DemoCatalog
from vsearch.reports.html.findings import Findings
from vsearch.reports.html.report import report_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: apt-get install chromium (.ci/run does)"
)
WAIT_MS = 30_000


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> bytes:
    """The report that a short fit on a small demo catalog leaves in its bundle."""
    folder = tmp_path_factory.mktemp("demo")
    catalog = DemoCatalog(str(folder / "photos"), n_items=150, n_labels=5, photo_size=32)
    fit = trainer(
        folder, 1, callbacks=[ModelCheckpoint(folder / "checkpoints"), BuildIndex(baseline=False)]
    )
    with drawn():
        fit.fit(learner(), data_of(catalog))
    return (folder / "bundle" / "report.html").read_bytes()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report from the disk; at the end, say whether it complained or asked for anything."""
    complaints, asked, tabs = [], [], []

    def open_report(made: bytes | Findings, **settings):
        file = tmp_path / "report.html"
        file.write_bytes(made if isinstance(made, bytes) else report_html(made))
        tab = browser.new_page(**{"reduced_motion": "reduce", **settings})
        tab.set_default_timeout(WAIT_MS)
        tab.on(
            "console",
            lambda message: complaints.append(message.text) if message.type != "log" else None,
        )
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        tab.locator("html[data-drawn=yes]").wait_for()
        tabs.append((tab, file.as_uri()))
        return tab

    yield open_report
    for tab, _ in tabs:
        tab.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [
        address for _, address in tabs
    ]


def column(tab, number: int) -> list[str]:
    return tab.locator(f"#per-class tbody tr > :nth-child({number})").all_inner_texts()


def test_headers_confusions_and_cells_are_clicked(opened, demo):
    tab = opened(demo)
    sorts(tab)
    shows_queries(tab)
    tab.evaluate(
        """() => {
        const place = document.querySelector("[data-plot=confusion-heat]");
        place.emit("plotly_click", { points: [{ customdata: "pair-0" }] });
    }"""
    )
    assert tab.locator("#pair-0").evaluate("pair => pair.open")


def sorts(tab) -> None:
    queries = tab.locator("#per-class th").filter(has_text="precision@1").first
    queries.get_by_role("button").click()
    assert queries.get_attribute("aria-sort") == "descending"
    values = [float(text) for text in column(tab, 4)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1
    queries.get_by_role("button").press("Enter")
    assert queries.get_attribute("aria-sort") == "ascending"
    assert [float(text) for text in column(tab, 4)] == sorted(values)
    label = tab.locator("#per-class th").first
    label.get_by_role("button").click()
    assert column(tab, 1) == sorted(column(tab, 1))
    assert queries.get_attribute("aria-sort") == "none"


def test_a_point_of_the_map_shows_its_photo(opened, demo):
    tab = opened(demo)
    tip = tab.locator("#tip")
    assert tip.is_hidden()
    point = tab.locator("[data-plot=embedding_map-map] .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip.wait_for()
    assert tip.locator("img").get_attribute("src").startswith("data:image/jpeg;base64,")
    assert tip.locator("img").evaluate("image => image.naturalWidth") > 0
    assert tip.locator("b").inner_text() in column(tab, 1)
    tab.mouse.move(0, 0)
    tip.wait_for(state="hidden")
    tab.locator("[data-plot=embedding_map-map]").focus()
    tab.keyboard.press("ArrowRight")
    tip.wait_for()
    first = tip.locator("span").inner_text()
    tab.keyboard.press("ArrowRight")
    assert tip.locator("span").inner_text() != first
    tab.keyboard.press("Escape")
    tip.wait_for(state="hidden")


def shows_queries(tab) -> None:
    pair = tab.locator(".pairs details").first
    assert pair.locator(".shot").first.is_hidden()
    pair.locator("summary").click()
    pair.locator(".shot.query img").first.wait_for()
    assert pair.locator("img").first.evaluate("image => image.naturalWidth") > 0
    assert pair.locator(".shot.wrong .sign").first.inner_text() == "✗"
    assert tab.locator("img:not([alt])").count() == 0
    pair.locator("summary").press("Enter")
    pair.locator(".shot").first.wait_for(state="hidden")


PAPER = {"light": "rgb(246, 247, 249)", "dark": "rgb(16, 21, 29)"}
INK = {"light": "rgb(22, 32, 46)", "dark": "rgb(232, 237, 244)"}


def test_it_follows_the_readers_colours_fits_a_phone_and_prints(opened, findings):
    tab = opened(findings, color_scheme="light", viewport={"width": 360, "height": 700})
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]
        tab.wait_for_function(
            """ink => {
            const text = document.querySelector("[data-plot=training-losses] .xtick text");
            return getComputedStyle(text).fill === ink;
        }""",
            arg=INK[scheme],
        )
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert tab.locator("nav").is_hidden()
    assert tab.evaluate("getComputedStyle(document.body).color") == INK["light"]
    tab.locator(".pairs details .shot").first.wait_for()
    assert len(tab.pdf()) > 50_000


def test_hostile_labels_are_words(opened, photos):
    found = make(photos, [SCRIPT, "__proto__", "constructor", "<b>bold</b>"], spread=0.9)
    tab = opened(
        replace(found, items=found.items.assign(id=SCRIPT + found.items["id"]), config=SCRIPT)
    )
    assert tab.evaluate("window.hacked") is None
    assert SCRIPT in column(tab, 1)
    legend = tab.locator("[data-plot=embedding_map-map] .legendtext").all_text_contents()
    assert "<b>bold</b>" in legend
    tab.locator("[data-plot=embedding_map-map]").focus()
    tab.keyboard.press("ArrowRight")
    tab.locator("#tip b").wait_for()
    assert tab.locator("#tip b").inner_text().strip()
