"""Parts of photos: in the API, the client and the page."""

import asyncio
import csv
import json
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from small_service import encoded, listening, picture, served_bundle, upload
from streamlit.testing.v1 import AppTest

from vsearch.bundle.opening import open_bundle
from vsearch.cli.commands.ui import PAGE
from vsearch.data.photos import Preprocessing
from vsearch.data.regions import Grid
from vsearch.evaluation.calibration import Calibration, file_bytes
from vsearch.serving.api.photos import decode, decode_parts
from vsearch.serving.client.client import AsyncClient, Client
from vsearch.serving.messages import Region
from vsearch.serving.page import service as page_service

GRID = Grid(2)
LOWER_RIGHT = [0.5, 0.5, 1, 1]


def pair() -> Image.Image:
    """Two pictures that touch, p2's and p5's, as wide as they are high."""
    found = Image.new("RGB", (40, 40), "white")
    found.paste(picture(2, 20, 20), (0, 0))
    found.paste(picture(5, 20, 20), (20, 20))
    return found


def part_of(number: int) -> Image.Image:
    return picture(number).crop((7, 10, 14, 20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    known = Calibration(0.9, 0.1, (-1.0, 1.0), (0.1, 0.9), 10, 10)
    place = tmp_path_factory.mktemp("regions") / "bundle"
    return served_bundle(place, 12, index_views=GRID, calibration=file_bytes(known))


@pytest.fixture
def api(folder, served):
    return served(folder)


@pytest.fixture(scope="module")
def searcher(folder):
    return open_bundle(folder)


def hits(reply: httpx.Response) -> list[dict]:
    assert reply.status_code == 200, reply.text
    return reply.json()["hits"]


def told(found: list[dict]) -> list[tuple]:
    return [(hit["id"], hit["region"], hit["query_region"]) for hit in found]


def test_a_hit_says_which_part_of_its_photo_matched(api):
    reply = upload(api, encoded(part_of(4)))
    first = hits(reply)[0]
    assert (first["id"], first["region"], first["query_region"]) == ("p4", LOWER_RIGHT, None)
    assert first["score"] == pytest.approx(1, abs=1e-3)
    # the fit calibrates whole photos against its index of parts
    assert first["probability"] is not None
    assert reply.json()["good_match"] is True


def test_a_whole_photo_matches_as_a_whole(api):
    assert told(hits(upload(api, encoded(picture(4)))))[0] == ("p4", None, None)


def test_parts_of_an_upload_are_searched_with_too(api, searcher):
    data = encoded(pair())
    (wanted,) = searcher.search([data], 12, parts=True)
    reply = upload(api, data, k=12, parts=True)
    names = ("id", "region", "query_region")
    assert told(hits(reply)) == [tuple(row[name] for name in names) for row in wanted.to_pylist()]
    scores = [hit["score"] for hit in hits(reply)]
    assert scores == pytest.approx(wanted["score"].to_pylist(), abs=1e-6)
    assert any(hit["query_region"] for hit in hits(reply))
    assert {hit["probability"] for hit in hits(reply)} == {None}
    assert (reply.json()["good_match"], reply.json()["message"]) == (None, None)


def test_parts_of_a_region_are_those_of_the_photo_that_it_is(api):
    wide = Image.new("RGB", (90, 70), "navy")
    wide.paste(pair(), (30, 20))
    alone = upload(api, encoded(pair()), parts=True)
    cut = upload(api, encoded(wide), parts=True, x=30, y=20, w=40, h=40)
    assert told(hits(cut)) == told(hits(alone))


def test_without_parts_in_the_index_those_of_an_upload_are_told(client, made):
    (wanted,) = open_bundle(made).search([encoded(pair())], parts=True)
    found = hits(upload(client, encoded(pair()), parts=True))
    assert {hit["region"] for hit in found} == {None}
    assert [hit["query_region"] for hit in found] == wanted["query_region"].to_pylist()


def test_searches_by_id_and_by_embedding_tell_parts_too(api, folder, searcher):
    embedding = searcher.embed([encoded(part_of(4))])[0].tolist()
    by_embedding = hits(api.post("/v1/search", json={"embedding": embedding}))
    assert told(by_embedding)[0] == ("p4", LOWER_RIGHT, None)
    (wanted,) = searcher.search_embeddings(searcher.kept_vectors([4]), 12)
    regions = dict(zip(wanted["id"].to_pylist(), wanted["region"].to_pylist(), strict=True))
    del regions["p4"]
    similar = hits(api.get("/v1/items/p4/similar?k=11"))
    assert {hit["id"]: hit["region"] for hit in similar} == regions
    by_id = hits(api.post("/v1/search", json={"positive": [{"id": "p4"}], "k": 11}))
    assert told(by_id) == told(similar)


def test_parts_of_what_is_no_photo_are_refused(api):
    refused = [
        api.post("/v1/search/upload", data={"text": "red", "parts": "true"}),
        api.post("/v1/search", json={"positive": [{"id": "p4"}], "parts": True}),
        api.get("/v1/items/p4/similar?parts=true"),
        upload(api, encoded(picture(4)), "/v1/embed", parts=True),
        upload(api, encoded(picture(4)), parts="some"),
    ]
    for reply in refused:
        assert reply.status_code == 422
        assert "parts" in reply.json()["detail"]


def test_a_photo_is_decoded_once_whatever_its_parts(api, monkeypatch):
    opened = []
    own = Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **named: opened.append(1) or own(*given))
    hits(upload(api, encoded(pair()), parts=True))
    assert len(opened) == 1


def test_the_decoding_budget_holds_for_parts(served, folder):
    api = served(folder, request_s=1)
    budget = api.app.state.service.budget
    share = budget.acquire(budget.most, 1e12)
    assert upload(api, encoded(pair()), parts=True).status_code == 503
    budget.release(share)
    assert upload(api, encoded(pair()), parts=True).status_code == 200
    assert budget.taken == 0


def test_parts_of_a_jpeg_decoded_at_a_fraction_are_nearly_those_at_full_size():
    wanted = Preprocessing(16, (0, 0, 0), (1, 1, 1))
    data = encoded(picture(3, 800, 800), "JPEG")
    whole, *parts = decode_parts(data, wanted, None, (None, *GRID.boxes), 10**6)
    assert np.abs(whole.astype(int) - decode(data, wanted, None, 10**6).square).max() <= 12
    with Image.open(BytesIO(data)) as photo:
        for (left, top, right, bottom), part in zip(GRID.boxes, parts, strict=True):
            corners = tuple(int(800 * side) for side in (left, top, right, bottom))
            cut = encoded(photo.crop(corners))
            exact = decode(cut, wanted, None, 10**6).square.astype(int)
            assert np.abs(exact - part).max() <= 12


def test_the_clients_ask_for_parts(folder, api):
    data = encoded(pair())
    wanted = told(hits(upload(api, data, parts=True, x=0, y=0, w=40, h=30)))
    region = Region(0, 0, 40, 30)
    with listening(folder) as url:
        with Client(url) as shop:
            found = shop.search_photo(data, region, parts=True)

        async def ask():
            async with AsyncClient(url) as shop:
                return await shop.search_photo(data, region, parts=True)

        assert asyncio.run(ask()).hits == found.hits
    assert told(json.loads(found.model_dump_json())["hits"]) == wanted


@pytest.fixture
def page(folder, monkeypatch):
    with listening(folder) as url:
        monkeypatch.setenv("VSEARCH_SERVICE", url)
        for cached in (page_service.service, page_service.info, page_service._picture):
            cached.clear()
        yield AppTest.from_file(str(PAGE), default_timeout=20)


def shown(page: AppTest) -> list[str]:
    """Return the hits' ids."""
    assert not page.exception
    assert not page.error
    keys = [button.key or "" for button in page.button]
    return [key.removeprefix("details-") for key in keys if key.startswith("details-")]


@pytest.fixture
def alts(monkeypatch) -> list[str]:
    """The texts of all pictures that the page shows."""
    found: list[str] = []
    monkeypatch.setattr("streamlit.image", lambda *given, alt, **named: found.append(alt))
    return found


def test_the_page_frames_the_part_that_matched(page, alts, monkeypatch):
    tables = []
    monkeypatch.setattr(
        "streamlit.download_button", lambda label, data, *given, **more: tables.append(data)
    )
    page.run().file_uploader[0].upload("part.png", encoded(part_of(4)), "image/png").run()
    assert shown(page)[0] == "p4"
    (first,) = [alt for alt in alts if alt.startswith("Result 1:")]
    assert first.endswith("% similar in its part 50-100 % x 50-100 %")
    row = next(csv.DictReader(tables[-1].splitlines()))
    assert (row["id"], json.loads(row["region"])) == ("p4", LOWER_RIGHT)


def test_the_page_searches_with_parts_of_the_photo(page, searcher):
    data = encoded(pair())
    page.run().file_uploader[0].upload("pair.png", data, "image/png").run()
    assert shown(page) == searcher.search([data], 12)[0]["id"].to_pylist()
    page.toggle(key="parts").set_value(True).run()
    assert shown(page) == searcher.search([data], 12, parts=True)[0]["id"].to_pylist()
    page.button(key="less-p3").click().run()
    assert page.toggle(key="parts").disabled
    assert len(shown(page)) == 11


def test_an_items_page_frames_the_parts_of_similar_items(page, alts, api):
    similar = hits(api.get("/v1/items/p4/similar?k=11"))
    page.query_params["item"] = "p4"
    page.run()
    framed = {alt.split(":")[0] for alt in alts if "in its part" in alt}
    assert framed == {f"Result {hit['rank']}" for hit in similar if hit["region"]}
    assert framed
