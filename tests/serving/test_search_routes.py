import json

import numpy as np
import pytest
from small_service import encoded, picture, upload

from vsearch.bundle.opening import open_bundle
from vsearch.search.query_by_example import combine


def test_a_misspelt_wish_is_refused(client):
    photo = encoded(picture(3))
    for reply, where, name in (
        (upload(client, photo, K=3), "form", "K"),
        (upload(client, photo, "/v1/search/upload?x=10"), "query", "x"),
        (client.get("/v1/items/p1/similar?limit=3"), "query", "limit"),
        (client.get("/v1/info?k=3"), "query", "k"),
        (upload(client, photo, "/v1/embed", k=3), "form", "k"),
    ):
        assert (reply.status_code, reply.json()["detail"].split(";")[0]) == (
            422,
            f"{where}: unknown '{name}'",
        )
    assert (
        "known are k, where, min_score, group_by, expand"
        in client.get("/v1/items/p1/similar?limit=3").json()["detail"]
    )


def ids(reply) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [hit["id"] for hit in reply.json()["hits"]]


def test_a_wish_that_comes_twice_is_refused(client):
    photo = ("photo", ("a.png", encoded(picture(3))))
    for files, said in (
        ([photo, photo], "form: 'photo' more than once."),
        ([photo, ("k", (None, "1")), ("k", (None, "2"))], "form: 'k' more than once."),
    ):
        reply = client.post("/v1/search/upload", files=files)
        assert (reply.status_code, reply.json()["detail"]) == (422, said)
    reply = client.get("/v1/gallery?limit=1&limit=2")
    assert (reply.status_code, reply.json()["detail"]) == (422, "query: 'limit' more than once.")


def test_a_photo_sent_as_text_is_told_how_to_send_it(client):
    reply = client.post("/v1/search/upload", files={"photo": (None, "shoe.jpg")})
    assert (reply.status_code, "-F photo=@shoe.jpg" in reply.json()["detail"]) == (422, True)


@pytest.mark.parametrize("path", ["/", "/v1/info/", "/v1/item", "/v1/items"])
def test_where_nothing_is_the_manual_is_named(client, path):
    reply = client.get(path, follow_redirects=False)
    assert (reply.status_code, reply.json()["detail"]) == (
        404,
        "There is nothing at this path: see /docs.",
    )


def test_another_method_is_told_which_one_it_takes(client):
    reply = client.put("/v1/search/upload")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["detail"] == "This path takes POST: see /docs."


def test_an_upload_finds_what_the_bundle_finds(client, made):
    reply = upload(client, encoded(picture(3)), k=5)
    (table,) = open_bundle(made).search([encoded(picture(3))], 5)
    assert ids(reply) == table["id"].to_pylist()
    first = reply.json()["hits"][0]
    assert (first["rank"], first["id"], first["label"], first["similarity_percent"]) == (
        1,
        "p3",
        "l0",
        100.0,
    )
    assert first["metadata"] == {"price": 3.0, "colour": "blue"}
    assert [hit["score"] for hit in reply.json()["hits"]] == pytest.approx(
        table["score"].to_pylist(), abs=1e-5
    )
    assert set(reply.json()["took_ms"]) == {"decode", "embed", "search"}
    assert reply.headers["X-Vsearch-Fingerprint"] == open_bundle(made).manifest["fingerprint"]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WebP", "JPEG"])
def test_each_kind_of_photo(client, kind):
    assert len(ids(upload(client, encoded(picture(3), kind), k=2))) == 2


def test_a_region_is_searched_as_if_it_were_the_photo(client):
    whole = picture(50, 60, 60)
    whole.paste(picture(7), (30, 20))
    assert ids(upload(client, encoded(whole), k=1, x=30, y=20, w=14, h=20)) == ["p7"]


def test_wishes(client):
    photo = encoded(picture(4))
    reply = upload(client, photo, k=30, where="price < 10 and colour = red")
    assert set(ids(reply)) == {"p0", "p2", "p4", "p8"}
    assert ids(upload(client, photo, k=30, min_score=0.9999)) == ["p4"]
    assert len(ids(upload(client, photo, k=30, group_by="label"))) == 3
    nothing = upload(client, photo, where="colour = green").json()
    assert (nothing["hits"], nothing["message"]) == (
        [],
        "no item has colour = green; it has blue, red",
    )
    for wishes, said in (
        ({"where": "price < 2 and price > 5"}, "No item meets the filter."),
        ({"min_score": 0.99, "x": 0, "y": 0, "w": 2, "h": 2}, "No item is at least 99 % similar."),
        (
            {"min_score": 1, "where": "price > 25"},
            "No item meets the filter and is at least 100 % similar.",
        ),
    ):
        assert upload(client, photo, **wishes).json()["message"] == said


def test_every_search_can_be_expanded(client, made):
    opened = open_bundle(made)
    query = vectors(made, "p4")
    others = opened.allowed("id != p4")
    (photo_hits,) = opened.search_embeddings(query, 30, expand=5)
    (item_hits,) = opened.search_embeddings(query, 29, others, expand=5)

    assert ids(upload(client, encoded(picture(4)), k=30, expand=5)) == photo_hits["id"].to_pylist()
    embedding = query[0].tolist()
    for reply, hits in (
        (
            client.post("/v1/search", json={"embedding": embedding, "k": 30, "expand": 5}),
            photo_hits,
        ),
        (
            client.post("/v1/search", json={"positive": [{"id": "p4"}], "k": 29, "expand": 5}),
            item_hits,
        ),
        (client.get("/v1/items/p4/similar?k=29&expand=5"), item_hits),
    ):
        scores = [hit["score"] for hit in reply.json()["hits"]]
        assert ids(reply) == hits["id"].to_pylist()
        assert scores == pytest.approx(hits["score"].to_pylist(), abs=1e-6)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"k": 0}, "k: Input should be greater"),
        ({"k": 10_000}, "k: Input should be less"),
        ({"expand": 101}, "expand: Input should be less"),
        ({"where": "prise < 3"}, "did you mean price"),
        ({"where": "price <"}, "character 8"),
        ({"min_score": "nan"}, "min_score"),
        ({"group_by": "shelf"}, "no column 'shelf'"),
        ({"x": 1, "y": 1, "w": 3}, "all of x, y, w, h"),
        ({"x": 1, "y": 1, "w": 0, "h": 3}, "w: Input should be greater"),
        ({"x": 14, "y": 1, "w": 3, "h": 3}, "no pixel of the photo (14 x 20)"),
        ({"x": "inf", "y": 1, "w": 3, "h": 3}, "x: "),
    ],
)
def test_wishes_that_make_no_sense(client, form, said):
    reply = upload(client, encoded(picture(1)), **form)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert said in reply.json()["detail"]
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "form", [{"where": "path = x"}, {"where": "path is missing"}, {"group_by": "path"}]
)
def test_no_filter_tells_where_photos_lie(client, made, form):
    reply = upload(client, encoded(picture(1)), **form)
    assert (reply.status_code, "no column 'path'" in reply.json()["detail"]) == (422, True)
    assert reply.json()["detail"].endswith("the columns are id, label, price, colour")
    assert ids(upload(client, encoded(picture(1)), where="id = p2")) == ["p2"]


@pytest.mark.parametrize("form", [{"where": "prise < 3"}, {"group_by": "shelf"}])
def test_a_filter_is_checked_before_the_photo_is_decoded(client, form):
    reply = upload(client, encoded(picture(1)), **form)
    assert reply.status_code == 422
    text = client.get("/metrics").text
    assert 'vsearch_step_seconds_count{step="decode"}' not in text


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}])
def test_what_is_not_said_to_be_json_is_told(client, headers):
    reply = client.post("/v1/search", content=b'{"positive": [{"id": "p1"}]}', headers=headers)
    assert (reply.status_code, "Content-Type: application/json" in reply.json()["detail"]) == (
        422,
        True,
    )


def vectors(made, *names: str) -> np.ndarray:
    opened = open_bundle(made)
    return opened.kept_vectors([opened.items["id"].to_pylist().index(name) for name in names])


def test_examples_with_weights(client, made):
    wanted = {
        "positive": [{"id": "p1", "weight": 3}, {"id": "p2"}],
        "negative": [{"id": "p5"}],
        "k": 4,
    }
    reply = client.post("/v1/search", json=wanted)
    query = combine(
        vectors(made, "p1", "p2"), vectors(made, "p5"), positive_weights=np.array([3, 1])
    )
    (table,) = open_bundle(made).search_embeddings(query[None], 30)
    assert ids(reply) == [id for id in table["id"].to_pylist() if id not in ("p1", "p2", "p5")][:4]


@pytest.mark.parametrize("positive", [[], ["p1", "p2"]])
def test_an_embedding_among_examples_is_one_of_them(client, made, positive):
    photo = vectors(made, "p7")
    examples = {"positive": [{"id": id} for id in positive], "negative": [{"id": "p5"}], "k": 4}
    reply = client.post("/v1/search", json={"embedding": photo[0].tolist(), **examples})
    near = np.concatenate([photo, *([vectors(made, *positive)] if positive else [])])
    (table,) = open_bundle(made).search_embeddings(combine(near, vectors(made, "p5"))[None], 30)
    assert ids(reply) == [id for id in table["id"].to_pylist() if id not in (*positive, "p5")][:4]


def test_items_can_be_paged_through(client):
    first = client.get("/v1/gallery", params={"limit": 29}).json()
    rest = client.get("/v1/gallery", params={"offset": 29}).json()
    assert first["total"] == rest["total"] == 30
    assert [item["id"] for item in first["items"]][:3] == ["p0", "p1", "p2"]
    assert [item["id"] for item in rest["items"]] == ["p/29"]
    assert client.get("/v1/gallery", params={"offset": 10**12}).json()["items"] == []
    assert client.get("/v1/gallery", params={"offset": -1}).status_code == 422


def test_an_embedding_is_taken_at_unit_length(client, made):
    reply = client.post(
        "/v1/search",
        json={"embedding": (1e300 * vectors(made, "p6")[0].astype(float)).tolist(), "k": 1},
    )
    assert ids(reply) == ["p6"]
    assert reply.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({}, 422, "positive examples or an embedding"),
        ({"negative": [{"id": "p1"}]}, 422, "aren't enough"),
        ({"embedding": [1.0] * 7}, 422, "7 numbers; this model's embeddings have 8"),
        ({"embedding": [1] * 16385}, 422, "at most 16384"),
        ({"embedding": [0.0] * 8}, 422, "not all 0"),
        ({"positive": [{"id": "nope"}]}, 404, "'nope'"),
        ({"positive": [{"id": "p1", "weight": 0}]}, 422, "weight"),
        ({"positive": [{"id": "p1"}], "frobnicate": 1}, 422, "frobnicate"),
        ({"positive": [{"id": "\ud800"}]}, 422, "unicode"),
        ({"positive": [{"id": "p1"}], "where": "colour = '\ud800'"}, 422, "unicode"),
    ],
)
def test_searches_that_make_no_sense(client, wanted, status, said):
    reply = client.post(
        "/v1/search", content=json.dumps(wanted), headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == status, reply.text
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    "wanted",
    [
        {f"a{i}": 1 for i in range(30_000)},
        {"embedding": ["x"] * 16_000},
        {"positive": [{f"a{i}": 1 for i in range(12)}] * 100},
    ],
)
def test_of_many_mistakes_few_are_looked_for(client, wanted, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vsearch.serving.api.problems._mistakes",
        lambda error: seen.append(len(error.errors())) or "",
    )
    assert client.post("/v1/search", json=wanted).status_code == 422
    assert client.post("/v1/search/batch", json={"searches": [wanted] * 2}).status_code == 422
    assert max(seen) <= 14


def test_no_numbers_in_json(client):
    text = '{"embedding": [NaN, 1, 1, 1, 1, 1, 1, 1]}'
    reply = client.post("/v1/search", content=text, headers={"Content-Type": "application/json"})
    assert (reply.status_code, "finite" in reply.json()["detail"]) == (422, True)


def test_a_batch(client):
    searches = [
        {"positive": [{"id": "p1"}], "k": 2},
        {"positive": [{"id": "p4"}], "k": 3, "where": "price > 20"},
    ]
    replies = client.post("/v1/search/batch", json={"searches": searches}).json()["replies"]
    alone = [client.post("/v1/search", json=one).json() for one in searches]
    assert [one["hits"] for one in replies] == [one["hits"] for one in alone]
    assert client.post("/v1/search/batch", json={"searches": []}).status_code == 422
    assert client.post("/v1/search/batch", json={"searches": [*searches, {}]}).status_code == 422
    many = {"searches": [{"positive": [{"id": "p1"}], "k": 1000}] * 11}
    assert "10,000 hits" in client.post("/v1/search/batch", json=many).json()["detail"]


def test_embedding_a_photo(client, made):
    reply = upload(client, encoded(picture(3)), "/v1/embed").json()
    assert reply["dim"] == len(reply["embedding"]) == 8
    assert np.allclose(reply["embedding"], vectors(made, "p3")[0], atol=1e-5)
