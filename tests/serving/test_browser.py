import base64
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pages
import pytest
from PIL import Image
from small_service import encoded, picture, served_bundle
from tiny_words import text_bundle

from vsearch.data.regions import Grid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: apt-get install chromium (.ci/run does)"
)
WAIT_MS = 30_000
ITEM = r"p(%2F)?\d+"  # an id in an address; some have a slash
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
FLAGS = ["--no-sandbox", *FAKE_CAMERA]
SIZES_OF_THE_TITLE = """
window.sizes = [];
(function look() {
    const title = document.querySelector("h1");
    const size = title && getComputedStyle(title).fontSize;
    if (size && !sizes.includes(size)) sizes.push(size);
    requestAnimationFrame(look);
})();
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A service, whose bodies are at most 100 kB, and its page, which takes 12 MB.

    Its index holds quarters of photos, too.
    """
    bundle = served_bundle(tmp_path_factory.mktemp("shop") / "bundle", index_views=Grid(2))
    with running(bundle, "--max-body-bytes", "100000") as processes:
        yield processes


@pytest.fixture(scope="module")
def shop_of_words(tmp_path_factory):
    """A service of products that words find, and its page."""
    pytest.importorskip("transformers", reason="needs the extra transformers")
    folder = tmp_path_factory.mktemp("words") / "bundle"
    with running(text_bundle(folder, of_products=True)) as processes:
        yield processes


@contextmanager
def running(bundle: Path, *words: str) -> Iterator[tuple[Any, Any]]:
    """Start a service of the bundle, with these words behind its command, and its page."""
    service = pages.service(bundle, pages.free_port(), *words)
    page = pages.page(service.url, "--max-upload-mb", "12")
    try:
        for process in (service, page):
            process.start()
        for process in (service, page):
            process.wait()
        yield service, page
    finally:
        page.stop()
        service.stop()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


def opened(browser, url: str, asked: list[str] | None = None, **settings):
    tab = browser.new_page(**settings)
    if asked is not None:
        tab.on("request", lambda request: asked.append(request.url))
    tab.set_default_timeout(WAIT_MS)
    tab.goto(url)
    tab.get_by_role("heading", name="Search by photo").wait_for()
    return tab


def give(tab, name: str, data: bytes) -> None:
    tab.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": data}
    )


def still(tab, element) -> dict[str, float]:
    """Return where an element is, once the page has ended its script and the element is at rest.

    A pointer that starts earlier misses it on a slow machine.
    """
    tab.locator("[data-test-script-state=notRunning]").wait_for()
    places = [element.bounding_box()]
    while len(places) < 100:
        tab.wait_for_timeout(200)
        places.append(element.bounding_box())
        if places[-1] == places[-2]:
            return places[-1]
    raise AssertionError(f"it still moves: {places[-2:]}")


def shows(tab, text: str) -> None:
    tab.get_by_text(text).first.wait_for()


def only_red(tab) -> None:
    from playwright.sync_api import TimeoutError as NotInTime

    lists(tab, "blue")
    colour = tab.get_by_role("combobox", name="Colour")
    red = tab.get_by_role("option", name="red (13)")
    for _ in range(6):  # the list closes when the column moves below it, also just before the click
        colour.click()
        with suppress(NotInTime):
            red.click(timeout=3_000)
            break
    tab.keyboard.press("Escape")
    tab.wait_for_url(re.compile(r"in\.colour=red"))
    lists(tab, "red")
    lists_no_more(tab, "blue")


def lists(tab, value: str) -> None:
    """Wait until a result has this value of its metadata."""
    tab.locator("[class*=st-key-hit-]").get_by_text(value).first.wait_for()


def lists_no_more(tab, value: str) -> None:
    tab.wait_for_function(
        f"() => [...document.querySelectorAll('[class*=st-key-hit-]')].length &&"
        f"![...document.querySelectorAll('[class*=st-key-hit-]')]"
        f".some(hit => hit.innerText.includes('{value}'))"
    )


def test_a_photo_is_searched_refined_and_shared(shop, browser):
    tab = opened(browser, shop[1].url)
    give(tab, "p3.png", encoded(picture(3)))
    tab.get_by_role("img", name=re.compile(r"^Result 1: l0, 100 % similar")).wait_for()
    shows(tab, "12 results")

    only_red(tab)
    tab.get_by_role("button", name="More like 1", exact=True).click()
    tab.wait_for_url(re.compile(f"like={ITEM}"))
    shows(tab, "More like p")

    shared = opened(browser, tab.url)
    shows(shared, "More like p")
    shows(shared, "red (13)")
    shows(shared, "12 results")

    tab.get_by_role("tab", name="Quality").click()
    shows(tab, "Measured before serving")
    tab.get_by_role("tab", name="Search", exact=True).click()
    tab.get_by_role("button", name="Start over").click()
    shows(tab, "Add a photo, or begin with a random item")
    tab.get_by_role("button", name="Random item").click()
    tab.wait_for_url(re.compile("like=p"))


FOUR_PICTURES = """() => {
    const pictures = [...document.querySelectorAll('[class*=st-key-hit-] img')];
    return pictures.filter(picture => picture.naturalWidth).length == 4;
}"""


def test_it_fits_a_phone_and_a_keyboard(shop, browser):
    tab = opened(browser, shop[1].url + "/?like=p3&k=4", viewport={"width": 375, "height": 800})
    first, second = (tab.get_by_role("button", name=f"More like {n}", exact=True) for n in (1, 2))
    second.wait_for()
    tab.wait_for_function(FOUR_PICTURES)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    boxes = first.bounding_box(), second.bounding_box()
    assert boxes[0]["x"] < boxes[1]["x"]  # two side by side
    assert boxes[1]["x"] + boxes[1]["width"] <= 375
    assert tab.locator("img:not([alt])").count() == 0
    assert round(boxes[0]["y"]) == round(boxes[1]["y"]) < 800  # in the first screen
    colour = tab.get_by_role("combobox", name="Colour")
    assert not colour.is_visible()
    tab.get_by_text("Change", exact=True).click()
    colour.wait_for()
    first.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url(re.compile(r"like=p3&like=p"))


TWO_FULL_ROWS = """() => {
    const cards = [...document.querySelectorAll('[class*=st-key-hit-]')];
    const boxes = cards.map(card => card.getBoundingClientRect());
    const query = document.querySelector('.st-key-query').getBoundingClientRect();
    const distinct = side => new Set(boxes.map(box => Math.round(box[side]))).size;
    return boxes.length == 12 && distinct('top') == 2 && distinct('height') == 1
        && boxes.every(box => box.bottom <= 900 && query.right < box.left)
        && boxes.some(box => box.right > 1350);
}"""


def test_results_fill_a_wide_screen_beside_the_query(shop, browser):
    tab = opened(browser, shop[1].url + "/?like=p3", viewport={"width": 1400, "height": 900})
    tab.wait_for_function(TWO_FULL_ROWS)


def test_a_photo_too_large_for_the_service_is_made_smaller(shop, browser):
    tab = opened(browser, shop[1].url)
    give(tab, "phone.bmp", encoded(picture(3, width=1540, height=2200), "BMP"))
    tab.get_by_role("img", name=re.compile(r"^Result 1: l0, 100 % similar")).wait_for()


def test_a_part_of_the_photo_is_taken_by_dragging_a_box(shop, browser):
    both = Image.new("RGB", (80, 40))
    both.paste(picture(3, 40, 40), (0, 0))
    both.paste(picture(4, 40, 40), (40, 0))
    tab = opened(browser, shop[1].url, viewport={"width": 1400, "height": 900})
    give(tab, "two.png", encoded(both))
    tab.get_by_text("Search with a part of the photo").click()
    photo = still(tab, tab.locator(".st-key-box svg.marks"))
    left, top = photo["x"] + photo["width"] / 2, photo["y"]
    tab.mouse.move(left, top + 1)
    tab.mouse.down()
    tab.mouse.move(left + photo["width"] / 2 - 1, top + photo["height"] - 1, steps=5)
    tab.mouse.up()
    shows(tab, "Part of your photo")
    slider = tab.get_by_role("slider", name="From left to right").first
    assert 48 <= int(slider.input_value()) <= 52


def test_a_part_of_the_photo_is_taken_with_a_finger(shop, browser):
    size = {"width": 390, "height": 800}
    tab = opened(browser, shop[1].url, viewport=size, has_touch=True, is_mobile=True)
    give(tab, "p3.png", encoded(picture(3, 40, 40)))
    shows(tab, "12 results")
    tab.get_by_text("Change", exact=True).click()
    tab.get_by_text("Search with a part of the photo").click()
    photo = tab.locator(".st-key-box svg.marks")
    photo.scroll_into_view_if_needed()
    box = still(tab, photo)
    devtools = tab.context.new_cdp_session(tab)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in places
        ]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.5, 0.02))
    for step in range(1, 11):
        touch("touchMove", (0.5 + 0.049 * step, 0.02 + 0.097 * step))
        tab.wait_for_timeout(30)
    touch("touchEnd")
    shows(tab, "Part of your photo")
    down = tab.get_by_role("slider", name="From top to bottom")
    assert int(down.nth(0).input_value()) <= 4
    assert int(down.nth(1).input_value()) >= 96


def test_parts_of_the_photo_are_searched_with_and_matched_parts_are_framed(shop, browser):
    quarter = picture(3).crop((7, 10, 14, 20))
    pair = Image.new("RGB", (14, 20), "white")
    pair.paste(quarter, (7, 10))
    in_part = re.compile(r"^Result 1: l0, 100 % similar in its part 50-100 % x 50-100 %$")
    tab = opened(browser, shop[1].url)
    give(tab, "pair.png", encoded(pair))
    shows(tab, "12 results")
    assert tab.get_by_role("img", name=in_part).count() == 0
    tab.get_by_text("Search with parts of the photo, too").click()
    tab.get_by_role("img", name=in_part).wait_for()
    assert tab.get_by_role("switch", name="Search with parts of the photo, too").is_checked()

    tab.get_by_role("button", name="Less like 2", exact=True).click()
    tab.wait_for_url(re.compile(f"unlike={ITEM}"))
    assert tab.get_by_role("switch", name="Search with parts of the photo, too").is_disabled()


PASTE = """data => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "image.png", {type: "image/png"}));
    const paste = new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true});
    document.activeElement.dispatchEvent(paste);
}"""
DROP = """([data, place]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], "image.png", {type: "image/png"}));
    for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true});
        document.querySelector(place).dispatchEvent(event);
        if (!event.defaultPrevented) throw "the browser would open the photo in place of the page";
    }
}"""


def test_words_find_products_and_an_item_shows_its_other_photos(shop_of_words, browser):
    tab = opened(browser, shop_of_words[1].url)
    words = tab.get_by_role("textbox", name=re.compile("words", re.IGNORECASE))
    words.fill("red dress")
    words.press("Enter")
    shows(tab, '6 results for "red dress"')
    tab.wait_for_url(re.compile(r"text=red"))
    shows(tab, "2 photos")
    tab.get_by_role("button", name="Details 1", exact=True).click()
    shows(tab, "More photos of this product")
    tab.close()


def test_a_photo_is_pasted(shop, browser):
    tab = opened(browser, shop[1].url)
    shows(tab, "Add a photo")
    tab.locator("input[type=file]").wait_for(state="attached")
    tab.evaluate(PASTE, base64.b64encode(encoded(picture(3))).decode())
    shows(tab, "image.png")
    tab.get_by_role("img", name=re.compile(r"^Result 1: l0, 100 % similar")).wait_for()


@pytest.mark.parametrize("place", ["h1", ".st-key-source section", ".st-key-found"])
def test_a_photo_is_dropped_anywhere_also_beside_an_item(shop, browser, place):
    tab = opened(browser, shop[1].url + "/?item=p5")
    shows(tab, "Similar items")
    tab.locator("input[type=file]").wait_for(state="attached")
    tab.evaluate(DROP, [base64.b64encode(encoded(picture(3))).decode(), place])
    shows(tab, "12 results")
    tab.get_by_role("img", name=re.compile(r"^Result 1: l0, 100 % similar")).wait_for()
    assert tab.get_by_text("image.png").count() == 1
    assert "item=" not in tab.url


def test_a_title_is_never_seen_before_its_look(shop, browser):
    tab = browser.new_page()
    tab.add_init_script(SIZES_OF_THE_TITLE)
    tab.goto(shop[1].url)
    tab.get_by_role("heading", name="Search by photo").wait_for()
    shows(tab, "Add a photo")
    assert tab.evaluate("sizes") == ["24px"]


def test_results_lead_to_items_files_links_and_back(shop, browser):
    tab = opened(browser, shop[1].url + "/?like=p3&unlike=p4")
    shows(tab, "12 results")
    with tab.expect_download() as file:
        tab.get_by_role("button", name="CSV").click()
    lines = Path(file.value.path()).read_text().splitlines()
    assert lines[0].startswith("query,rank,id,label")
    assert len(lines) == 13

    tab.get_by_role("button", name="Link").click()
    shows(tab, "?like=p3&unlike=p4")
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Details 1", exact=True).click()
    tab.wait_for_url(re.compile("item=p"))
    shows(tab, "Similar items")
    tab.get_by_role("button", name="Back to the search").click()
    shows(tab, "12 results")

    tab.locator(".st-key-remove-p4 button").first.click()
    tab.wait_for_url(re.compile(r"like=p3$"))
    tab.get_by_role("button", name="Less like 2", exact=True).click()
    tab.wait_for_url(re.compile(f"unlike={ITEM}"))
    tab.get_by_role("button", name="Start over").click()
    shows(tab, "Add a photo")
    tab.get_by_role("button", name="Recent").click()
    tab.get_by_role("button", name="like p3", exact=True).click()
    tab.wait_for_url(re.compile(r"like=p3$"))


def test_the_camera_takes_a_photo(shop, browser):
    tab = opened(browser, shop[1].url)
    tab.get_by_role("tab", name="Camera").click()
    tab.wait_for_function("() => document.querySelector('video')?.videoWidth > 0")
    tab.get_by_role("button", name="Take Photo").click()
    shows(tab, "Your photo")


def test_clear_words_when_a_photo_is_refused(shop, browser):
    tab = opened(browser, shop[1].url)
    give(tab, "larger.png", bytes(13_000_000))
    said = tab.get_by_text("File must be 12.0MB or smaller.")
    said.wait_for()
    assert said.bounding_box()["width"] > 50  # for eyes too
    give(tab, "huge.png", encoded(picture(1)) + bytes(200_000))
    shows(tab, "The photo is too large.")
    give(tab, "text.jpg", b"I am no photo. " * 20)
    shows(tab, "This file is not a photo.")
    give(tab, "broken.png", encoded(picture(1))[:60])
    shows(tab, "The service can't use this.")
    give(tab, "p5.png", encoded(picture(5)))
    tab.get_by_role("img", name=re.compile("^Result 1: l2, 100 %")).wait_for()


def test_a_service_that_is_away_for_a_while_costs_neither_photo_nor_filters(shop, browser):
    service, page = shop
    tab = opened(browser, page.url)
    give(tab, "p5.png", encoded(picture(5)))
    only_red(tab)
    service.stop()
    tab.wait_for_timeout(7000)  # the page asks what is served every 5 seconds
    tab.get_by_role("button", name="More like 2", exact=True).click()
    shows(tab, "The service can't be reached.")
    service.start()
    service.wait()
    tab.get_by_role("button", name="Try again").first.click()
    shows(tab, "12 results")
    shows(tab, "p5.png")
    shows(tab, "red (13)")
    assert "in.colour=red" in tab.url
    assert "like=p" in tab.url


def test_back_leads_to_the_search_before(shop, browser):
    tab = opened(browser, shop[1].url + "/?like=p3&k=12")
    shows(tab, "12 results")
    only_red(tab)
    tab.get_by_role("button", name="More like 1", exact=True).click()
    tab.wait_for_url(re.compile(f"like=p3&like={ITEM}"))
    shows(tab, "12 results")
    tab.go_back()
    tab.wait_for_url(re.compile(r"like=p3&in"))
    tab.wait_for_function("() => document.body.innerText.split('More like p').length == 2")
    shows(tab, "red (13)")
    tab.go_back()
    tab.wait_for_url(re.compile(r"like=p3&k=12$"))
    lists(tab, "blue")
    tab.go_forward()
    tab.wait_for_url(re.compile(r"like=p3&in"))
    lists_no_more(tab, "blue")


def test_the_manual_needs_no_other_host(shop, browser):
    tab, asked, errors = browser.new_page(), [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(f"{shop[0].url}/docs")
    shows(tab, "Finds the items of a catalog that look most like a photo")
    tab.get_by_text("/v1/search/batch").first.click()
    shows(tab, "Do several searches, for at most 10,000 hits in all")
    assert not errors
    assert all(url.startswith((shop[0].url, "data:", "blob:")) for url in asked)


def test_the_manual_fills_a_form_in_so_that_it_is_answered(shop, browser):
    tab = browser.new_page()
    tab.goto(f"{shop[0].url}/docs")
    route = tab.locator("#operations-search-search_by_photo_v1_search_upload_post")
    route.get_by_text("/v1/search/upload").first.click()
    route.get_by_role("button", name="Try it out").click()
    give(route, "p3.png", encoded(picture(3)))
    with tab.expect_response(lambda reply: reply.url.endswith("/v1/search/upload")) as reply:
        route.get_by_role("button", name="Execute").click()
    assert reply.value.status == 200
    assert {hit["metadata"]["colour"] for hit in reply.value.json()["hits"]} == {"red"}


def test_the_page_needs_no_other_host(shop, browser):
    asked: list[str] = []
    tab = opened(browser, shop[1].url + "/?like=p3", asked)
    shows(tab, "12 results")
    tab.get_by_role("tab", name="Quality").click()
    shows(tab, "Measured before serving")
    icon = tab.locator("link[rel~=icon]").first.get_attribute("href")
    assert [*asked, icon] == [
        url for url in [*asked, icon] if url.startswith((shop[1].url, "data:", "blob:", "/"))
    ]
    assert "/media/" in icon  # the page's own
