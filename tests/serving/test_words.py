"""Words as queries: in the API, the client and the page."""

import asyncio

import httpx
import pytest
from small_service import encoded, listening, picture, upload
from streamlit.testing.v1 import AppTest
from tiny_words import text_bundle

from vsearch.bundle.opening import open_bundle
from vsearch.cli.commands.ui import PAGE
from vsearch.evaluation.calibration import Calibration
from vsearch.search.query_by_example import TEXT_WEIGHT
from vsearch.serving.client.client import AsyncClient, Client
from vsearch.serving.client.failures import Refused
from vsearch.serving.messages import SearchRequest
from vsearch.serving.page import service as page_service

pytest.importorskip("transformers", reason="needs the extra transformers")
PHOTO = encoded(picture(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return text_bundle(tmp_path_factory.mktemp("words") / "bundle")


@pytest.fixture(scope="module")
def searcher(folder):
    return open_bundle(folder)


@pytest.fixture
def api(folder, served):
    return served(folder)


def ids(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [hit["id"] for hit in reply.json()["hits"]]


def test_info_says_whether_words_can_be_searched_with(api, client):
    assert api.get("/v1/info").json()["text"] is True
    assert client.get("/v1/info").json()["text"] is False


def test_a_text_alone(api, searcher):
    wanted = searcher.search_examples([], text="red dress", k=4, where="label != l0")
    asked = {"text": "red dress", "k": 4, "where": "label != l0"}
    assert ids(api.post("/v1/search", json=asked)) == wanted["id"].to_pylist()
    assert ids(api.post("/v1/search/upload", data=asked)) == wanted["id"].to_pylist()
    (first, _) = api.post("/v1/search/batch", json={"searches": [asked] * 2}).json()["replies"]
    assert [hit["id"] for hit in first["hits"]] == wanted["id"].to_pylist()


@pytest.mark.parametrize("weight", [None, 0.2])
def test_a_photo_and_a_text(weight, api, searcher):
    options = {} if weight is None else {"text_weight": weight}
    (wanted,) = searcher.search([PHOTO], text="in red", **options)
    reply = upload(api, PHOTO, text="in red", **options)
    assert ids(reply) == wanted["id"].to_pylist()
    embedding = upload(api, PHOTO, "/v1/embed").json()["embedding"]
    asked = {"embedding": embedding, "text": "in red", **options}
    assert ids(api.post("/v1/search", json=asked)) == wanted["id"].to_pylist()


def test_examples_and_a_text(api, searcher):
    wanted = searcher.search_examples(["p3"], ["p4"], text="in red", text_weight=0.3)
    asked = {"positive": [{"id": "p3"}], "negative": [{"id": "p4"}]}
    asked |= {"text": "in red", "text_weight": 0.3}
    assert ids(api.post("/v1/search", json=asked)) == wanted["id"].to_pylist()
    away = api.post("/v1/search", json={"negative": [{"id": "p4"}], "text": "in red"})
    wanted = searcher.search_examples([], ["p4"], text="in red")
    assert ids(away) == wanted["id"].to_pylist()


def test_the_weight_of_messages_is_that_of_the_search():
    assert SearchRequest().text_weight == TEXT_WEIGHT


def test_the_calibration_of_photos_is_not_claimed_for_texts(folder, served, monkeypatch):
    known = Calibration(0.9, 0.1, (0.0, 1.0), (0.1, 0.9), 10, 10)
    monkeypatch.setattr("vsearch.evaluation.calibration.read", lambda *_: known)
    api = served(folder)
    assert upload(api, PHOTO).json()["good_match"] is not None
    for reply in (
        upload(api, PHOTO, text="red"),
        api.post("/v1/search", json={"text": "red"}),
        api.post("/v1/search/upload", data={"text": "red"}),
    ):
        assert reply.json()["good_match"] is None
        assert reply.json()["message"] is None
        assert all(hit["probability"] is None for hit in reply.json()["hits"])


def test_a_network_without_a_text_tower_refuses_words_with_the_reason(client):
    for reply in (
        client.post("/v1/search", json={"text": "red"}),
        upload(client, PHOTO, text="red"),
    ):
        assert reply.status_code == 422
        assert "no text tower (TinyBackbone)" in reply.json()["detail"]


@pytest.mark.parametrize("form", [{}, {"text": "red", "x": 0, "y": 0, "w": 5, "h": 5}])
def test_neither_photo_nor_text_is_refused(form, api):
    reply = api.post("/v1/search/upload", data=form)
    assert reply.status_code == 422
    assert "Send a photo, or a text" in reply.json()["detail"]


def test_wrong_texts_are_refused(api):
    for asked in ({"text": ""}, {"text": "a" * 1001}, {"text": "a", "text_weight": 1.1}):
        assert api.post("/v1/search", json=asked).status_code == 422


def test_the_clients_send_words(folder, searcher):
    alone = searcher.search_examples([], text="red dress")["id"].to_pylist()
    mixed = searcher.search([PHOTO], text="in red", text_weight=0.3)[0]["id"].to_pylist()
    with listening(folder) as url:
        with Client(url) as shop:
            assert shop.info().text
            assert [hit.id for hit in shop.search(text="red dress").hits] == alone
            found = shop.search_photo(PHOTO, text="in red", text_weight=0.3)
            assert [hit.id for hit in found.hits] == mixed

        async def ask():
            async with AsyncClient(url) as shop:
                return await shop.search(text="red dress")

        assert [hit.id for hit in asyncio.run(ask()).hits] == alone


def test_the_client_tells_of_a_refusal(url):
    with Client(url) as shop, pytest.raises(Refused, match="no text tower"):
        shop.search(text="red")


@pytest.fixture
def page(folder, monkeypatch):
    with listening(folder) as url:
        yield opened(url, monkeypatch)


def opened(url, monkeypatch) -> AppTest:
    monkeypatch.setenv("VSEARCH_SERVICE", url)
    for cached in (page_service.service, page_service.info, page_service._picture):
        cached.clear()
    return AppTest.from_file(str(PAGE), default_timeout=20)


def shown(page: AppTest) -> list[str]:
    assert not page.exception
    assert not page.error
    return [key.removeprefix("details-") for key in keys(page) if key.startswith("details-")]


def keys(page: AppTest) -> list[str]:
    return [button.key or "" for button in page.button]


def test_the_page_searches_with_words(page, searcher):
    assert "Add a photo or words" in page.run().info[0].value
    page.text_input[0].set_value("red dress").run()
    wanted = searcher.search_examples([], text="red dress", k=12)["id"].to_pylist()
    assert shown(page) == wanted
    assert '**12 results for "red dress"**' in [text.value for text in page.markdown]
    assert page.query_params["text"] == "red dress"

    page.file_uploader[0].upload("p3.png", PHOTO, "image/png").run()
    assert shown(page) == searcher.search([PHOTO], k=12, text="red dress")[0]["id"].to_pylist()
    assert '**12 results for your photo, "red dress"**' in [text.value for text in page.markdown]


def test_words_come_from_a_link_beside_examples_and_leave_with_start_over(page, searcher):
    page.query_params["text"] = "in red"
    page.query_params["like"] = "p3"
    page.run()
    wanted = searcher.search_examples(["p3"], k=12, text="in red")["id"].to_pylist()
    assert shown(page) == wanted
    assert page.text_input[0].value == "in red"
    page.button(key="start-over").click().run()
    assert page.text_input[0].value == ""
    assert not page.query_params


def test_recent_words_come_back_and_a_random_item_leaves_them_out(page):
    page.run().text_input[0].set_value("red dress").run()
    next(button for button in page.button if button.label == "Random item").click().run()
    assert page.text_input[0].value == ""
    assert "text" not in page.query_params
    page.button(key="recent-0").click().run()
    assert page.text_input[0].value == "red dress"
    assert "like" not in page.query_params


def test_without_a_text_tower_there_is_no_box_for_words(url, monkeypatch):
    page = opened(url, monkeypatch)
    page.query_params["text"] = "red"
    page.run()
    assert not page.text_input
    assert not page.exception
    assert "Add a photo, or begin" in page.info[0].value
