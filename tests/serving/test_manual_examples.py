import numpy as np
import pandas as pd
import pytest
from demo_service import write_demo_bundle
from small_service import encoded, picture

from vsearch.data.catalogs.demo import long_tail, shuffled
from vsearch.data.catalogs.demo_shapes import SHAPES
from vsearch.data.splits import StratifiedSplit
from vsearch.serving.api import manual_examples as examples


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo_bundle(tmp_path_factory.mktemp("demo") / "bundle")


@pytest.fixture
def shop(served, demo):
    return served(demo)


@pytest.fixture
def paths(shop):
    return shop.get("/openapi.json").json()["paths"]


def test_each_body_of_the_manual_finds_something(shop, paths):
    sent = 0
    for path in ("/v1/search", "/v1/search/batch"):
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        for name, example in content["examples"].items():
            reply = shop.post(path, json=example["value"])
            assert reply.status_code == 200, (name, reply.text)
            assert all(one["hits"] for one in reply.json().get("replies", [reply.json()])), name
            sent += 1
    assert sent == 4


def test_each_form_as_the_manual_fills_it_in_is_taken(shop, paths):
    forms = shop.get("/openapi.json").json()["components"]["schemas"]
    for path in ("/v1/search/upload", "/v1/embed", "/v1/explain"):
        content = paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]
        fields = forms[content["schema"]["$ref"].rsplit("/", 1)[-1]]["properties"]
        filled = {name: field["examples"][0] for name, field in fields.items() if name != "photo"}
        reply = shop.post(path, data=filled, files={"photo": encoded(picture(0))})
        assert reply.status_code in (200, 501), (
            path,
            reply.text,
        )  # 501: this network can't explain


def test_each_parameter_of_the_manual_finds_something(shop, paths):
    for path in ("/v1/items/{id}", "/v1/items/{id}/similar", "/v1/items/{id}/image"):
        given = {one["name"]: one for one in paths[path]["get"]["parameters"]}
        item = given.pop("id")["schema"]["examples"][0]
        query = {
            name: one["schema"]["examples"][0]
            for name, one in given.items()
            if "examples" in one["schema"]
        }
        reply = shop.get(path.replace("{id}", item), params=query)
        assert reply.status_code == 200, (path, reply.text)


def test_the_manual_shows_a_reply_of_each_route_but_of_the_longest(paths):
    found = {
        path: route["responses"]["200"]["content"]["application/json"].get("example")
        for path, methods in paths.items()
        for route in methods.values()
        if path.startswith("/v1/") and "application/json" in route["responses"]["200"]["content"]
    }
    assert [path for path, example in found.items() if example is None] == ["/v1/info"]
    assert found["/v1/search"]["hits"][0]["metadata"]["colour"] == "pink"


def test_the_ids_are_indexed_once_the_demo_is_trained_and_the_photo_is_none_of_them():
    labels = shuffled(np.repeat(list(SHAPES), long_tail(2400, len(SHAPES))), seed=0)
    items = pd.DataFrame({"id": [f"demo-{row:05d}" for row in range(len(labels))], "label": labels})
    part = dict(zip(items["id"], StratifiedSplit(seed=0).assign(items), strict=True))
    assert [part[one] for one in (examples.ID, examples.OTHER, examples.UNLIKE)] == ["train"] * 3
    assert part["demo-00062"] == "test"
