from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_bundle import unit_vectors
from test_bundle import write

from vsearch.bundle.opening import open_bundle
from vsearch.data.photos import PhotoError
from vsearch.indexes.faiss import FaissIndex
from vsearch.search.filters.columns import FilterError
from vsearch.search.query_by_example import ExampleError
from vsearch.search.query_expansion import expanded
from vsearch.search.searcher import Searcher

METADATA = {
    "gender": ["Women", "Men", None, "Women", "Men", "Women"],
    "price": [10.0, 20.0, 30.0, None, 50.0, 60.0],
    "product": ["x", "x", None, " ", "y", "y"],
}


@pytest.fixture
def bundle(tmp_path) -> Searcher:
    write(tmp_path / "bundle", **METADATA)
    return open_bundle(tmp_path / "bundle")


def photo(bundle: Searcher, number: int) -> str:
    return bundle.items["path"][number].as_py()


def cosines(bundle: Searcher, query: np.ndarray) -> np.ndarray:
    return bundle.embed(bundle.items["path"].to_pylist()) @ query


def test_a_filter_leaves_the_items_that_meet_it(bundle):
    (hits,) = bundle.search([photo(bundle, 1)], 5, where="gender = Women and price < 70")
    scores = cosines(bundle, bundle.embed([photo(bundle, 1)])[0])
    assert hits["id"].to_pylist() == sorted(["0", "5"], key=lambda id: -scores[int(id)])
    assert hits["score"].to_pylist() == pytest.approx(
        sorted(scores[[0, 5]], reverse=True), abs=1e-5
    )
    assert hits["rank"].to_pylist() == [1, 2]


def test_a_filter_that_nothing_meets_gives_empty_tables_and_a_reason(bundle):
    for hits in bundle.search([photo(bundle, 1)] * 2, 5, where="gender = Woman"):
        assert hits.column_names == ["rank", "score", *bundle.items.column_names]
        assert len(hits) == 0
    assert bundle.unmet("gender = Woman") == ["no item has gender = Woman; it has Men, Women"]


def test_all_hits_from_a_score_on(bundle):
    scores = cosines(bundle, bundle.embed([photo(bundle, 4)])[0])
    limit = float(np.sort(scores)[2]) - 1e-6
    (hits,) = bundle.search([photo(bundle, 4)], None, min_score=limit)
    assert sorted(map(int, hits["id"].to_pylist())) == np.flatnonzero(scores >= limit).tolist()
    assert len(bundle.search([photo(bundle, 4)], 2, min_score=limit)[0]) == 2
    assert len(bundle.search([photo(bundle, 4)], None)[0]) == 6


def test_copies_of_one_product_take_one_place(bundle):
    (hits,) = bundle.search([photo(bundle, 0)], 4, group_by="product")
    order = bundle.search([photo(bundle, 0)], None)[0]
    seen, kept = set(), []
    for id, product in zip(order["id"].to_pylist(), order["product"].to_pylist(), strict=True):
        alone = product is None or not product.strip()
        if alone or product not in seen:
            kept.append(id)
            seen.add(product)
    assert hits["id"].to_pylist() == kept
    assert len(hits) == 4
    two = bundle.search([photo(bundle, 0)], 2, group_by="product")[0]
    assert two["id"].to_pylist() == kept[:2]


def test_examples_make_one_query_and_are_left_out(bundle):
    vectors = bundle.embed(bundle.items["path"].to_pylist())
    query = vectors[[0, 3]].mean(axis=0) - 0.5 * vectors[4]
    scores = vectors @ (query / np.linalg.norm(query))
    hits = bundle.search_examples(["0", photo(bundle, 3)], ["4"], k=10)
    expected = [
        str(i) for i in np.argsort(-scores) if i not in (0, 4)
    ]  # 3 came as a photo: as such it may be found
    assert hits["id"].to_pylist() == expected
    assert hits["score"].to_pylist() == pytest.approx(
        [scores[int(id)] for id in expected], abs=1e-5
    )


def test_one_photo_as_an_example_is_a_search(bundle):
    path = photo(bundle, 2)
    for example in (path, Path(path), Path(path).read_bytes()):
        assert bundle.search_examples([example]).equals(bundle.search([path])[0])


def test_examples_with_all_the_other_wishes(bundle):
    hits = bundle.search_examples(
        ["0"], k=None, where="price is not missing", min_score=-1, group_by="product"
    )
    assert sorted(hits["id"].to_pylist()) in (["1", "2", "4"], ["1", "2", "5"])


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        (["7"], [], "'7' is neither an item's id nor a photo file"),
        (["0"], ["nowhere.jpg"], "'nowhere.jpg' is neither an item's id nor a photo file"),
        ([], ["0"], "at least one positive example"),
        ([""], [], "'' is neither"),
        (["\0"], [], "is neither"),
    ],
)
def test_examples_that_are_none(bundle, positive, negative, message):
    with pytest.raises(ExampleError, match=message):
        bundle.search_examples(positive, negative)


def test_examples_that_cancel_each_other_out(bundle):
    with pytest.raises(ExampleError, match="cancel"):
        bundle.search_examples(["0"], ["0"], weight=1)


def test_an_index_that_keeps_no_vectors_takes_photos_only(bundle, monkeypatch):
    def fail(*args) -> None:
        raise ValueError("LSH can't give its vectors back")

    monkeypatch.setattr(type(bundle.index), "vectors", fail)
    with pytest.raises(ExampleError, match="items' vectors; photos alone don't: LSH"):
        bundle.search_examples(["0"])
    with pytest.raises(ExampleError, match="items' vectors; photos alone don't: LSH"):
        bundle.search([photo(bundle, 0)], expand=2)
    assert len(bundle.search_examples([photo(bundle, 0)])) == 6


def test_an_expanded_query_searches_again(bundle):
    vectors = bundle.embed(bundle.items["path"].to_pylist())
    query = vectors[1]
    allowed = bundle.allowed("id != 1")
    first = [i for i in np.argsort(-vectors @ query) if allowed[i]][:3]
    moved = query + sum(max(float(vectors[i] @ query), 0) ** 6 * vectors[i] for i in first)
    scores = vectors @ (moved / np.linalg.norm(moved))
    best = [i for i in np.argsort(-scores) if allowed[i]]

    (hits,) = bundle.search([photo(bundle, 1)], None, where="id != 1", expand=3)
    assert [*map(int, hits["id"].to_pylist())] == best
    assert hits["score"].to_pylist() == pytest.approx(scores[best], abs=1e-5)

    example = bundle.search_examples(["1"], k=None, expand=3)
    assert example["id"].to_pylist() == hits["id"].to_pylist()

    (one_each,) = bundle.search(
        [photo(bundle, 1)], None, where="id != 1", group_by="label", expand=3
    )
    assert len(one_each) == 3
    assert one_each["score"][0] == hits["score"][0]


def test_hits_below_the_lowest_score_expand_no_query(bundle):
    plain = bundle.search([photo(bundle, 0)], None)[0]["score"].to_pylist()
    limit = (plain[0] + plain[1]) / 2  # the photo's own item alone reaches it
    (hits,) = bundle.search([photo(bundle, 0)], None, min_score=limit, expand=6)
    assert hits["id"].to_pylist() == ["0"]
    assert hits["score"].to_pylist() == pytest.approx([1], abs=1e-6)
    opposite = -bundle.embed([photo(bundle, 0)])
    assert len(bundle.search_embeddings(opposite, 3, min_score=1, expand=6)[0]) == 0


@pytest.mark.parametrize(
    "factory", ["Flat", "HNSW8", "IVF4,Flat", "SQ8", "IVF4,PQ4x4fs", "PQ4x4fs"]
)
def test_every_kind_that_gives_vectors_back_expands(bundle, factory):
    vectors = unit_vectors(200)
    index = FaissIndex(factory)
    index.build(vectors)
    searcher = Searcher(bundle.runtime, index, pa.table({"id": [str(i) for i in range(200)]}), {})
    queries = unit_vectors(3, seed=1)
    found = searcher.find(queries, 5, expand=10)
    first = searcher.find(queries, 10)
    for query, hits, (scores, positions) in zip(queries, found, first, strict=True):
        moved = expanded(query, scores, searcher.kept_vectors(positions))
        (again,) = searcher.find(moved[None], 5)
        assert hits[1].tolist() == again[1].tolist()


def test_mistakes_in_the_wishes(bundle):
    with pytest.raises(FilterError, match="character 1: no column 'colour'"):
        bundle.search([photo(bundle, 0)], where="colour = red")
    with pytest.raises(
        FilterError, match=r"^no column 'produkt' \(did you mean product\?\); the columns are id"
    ):
        bundle.search([photo(bundle, 0)], group_by="produkt")
    with pytest.raises(ValueError, match="cosines"):
        bundle.search([photo(bundle, 0)], min_score=80)
    with pytest.raises(ValueError, match="expand is -1"):
        bundle.search([photo(bundle, 0)], expand=-1)
    with pytest.raises(PhotoError):
        bundle.search([b"no photo"])
