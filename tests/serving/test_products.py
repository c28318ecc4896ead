import pytest
from product_bundle import product_bundle
from small_service import encoded, listening, picture, upload
from streamlit.testing.v1 import AppTest
from test_calibrated_replies import calibrated

from vsearch.cli.commands.ui import PAGE
from vsearch.serving.client.client import Client
from vsearch.serving.page import service as page_service


@pytest.mark.parametrize("fuse", ["best", "mean"])
def test_hits_are_products(served, tmp_path, fuse):
    client = served(product_bundle(tmp_path / "bundle", fuse, calibration=calibrated(0.9)))
    photo = encoded(picture(4))
    found = upload(client, photo, k=12).json()["hits"]
    sizes = {hit["id"]: hit["group_size"] for hit in found}
    assert sorted(sizes.values()) == [1, 1, 1, 1, 3, 5]
    assert sizes["p4"] == 3
    assert {hit["probability"] is None for hit in found} == {fuse == "mean"}

    photos = upload(client, photo, k=12, each_photo=True).json()["hits"]
    assert len(photos) == 12
    assert {hit["group_size"] for hit in photos} == {None}
    assert photos[0]["probability"] is not None
    labels = upload(client, photo, k=12, group_by="label").json()["hits"]
    assert [hit["group_size"] for hit in labels] == [4, 4, 4]


def test_an_item_has_its_products_photos_and_similar_products(served, tmp_path):
    client = served(product_bundle(tmp_path / "bundle"))
    product = client.get("/v1/items/p4/product").json()
    assert [item["id"] for item in product["items"]] == ["p3", "p4", "p6"]
    few = client.get("/v1/items/p4/product?limit=2").json()
    assert (len(few["items"]), few["total"]) == (2, 3)
    assert client.get("/v1/items/p9/product").json()["total"] == 1
    assert client.get("/v1/items/gone/product").status_code == 404

    similar = client.get("/v1/items/p4/similar?k=12").json()["hits"]
    assert len(similar) == 5
    assert not {"p3", "p4", "p6"} & {hit["id"] for hit in similar}
    by_id = client.post("/v1/search", json={"positive": [{"id": "p4"}], "k": 12}).json()["hits"]
    assert by_id == similar
    photos = client.get("/v1/items/p4/similar?k=12&each_photo=true").json()["hits"]
    assert len(photos) == 11


def test_the_page_shows_a_products_photos(tmp_path, monkeypatch):
    with listening(product_bundle(tmp_path / "bundle")) as address:
        monkeypatch.setenv("VSEARCH_SERVICE", address)
        for cached in (page_service.service, page_service.info, page_service._picture):
            cached.clear()
        page = AppTest.from_file(str(PAGE), default_timeout=20)
        page.query_params["item"] = "p4"
        page.run()
        assert not page.exception
        assert "**More photos of this product** (2)" in [text.value for text in page.markdown]
        assert "5 photos" in [caption.value for caption in page.caption]
        page.query_params["item"] = "p9"
        page.run()
        assert not any("of this product" in text.value for text in page.markdown)
        assert Client(address).product("p4", limit=1).total == 3
