import numpy as np
import pyarrow as pa
import pytest
from product_bundle import hits_by_loop, product_bundle

from vsearch.bundle.generations.edit import add, remove
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.writer_lock import writing
from vsearch.bundle.opening import open_bundle
from vsearch.search.query_by_example import ExampleError
from vsearch.search.searcher import Searcher

FUSES = pytest.mark.parametrize("fuse", ["best", "mean"])


def cosines(bundle: Searcher, query: np.ndarray) -> dict[str, float]:
    vectors = bundle.kept_vectors(range(len(bundle.items)))
    return dict(zip(bundle.items["id"].to_pylist(), (vectors @ query).tolist(), strict=True))


def check(bundle: Searcher, fuse: str, where: str | None = None) -> None:
    """Compare all searches of each item's vector, and the sizes, with a loop over the items."""
    rows = bundle.items.to_pylist()
    allowed = bundle.allowed(where)
    left = [row for row, may in zip(rows, allowed, strict=True) if may] if where else rows
    for query in bundle.kept_vectors(range(len(rows))):
        (hits,) = bundle.search_embeddings(query[None], None, allowed)
        wanted = hits_by_loop(left, cosines(bundle, query), fuse)
        assert hits["id"].to_pylist() == [id for id, _ in wanted]
        assert hits["score"].to_pylist() == pytest.approx([one for _, one in wanted], abs=1e-5)
        (first,) = bundle.search_embeddings(query[None], 2, allowed)
        assert first["id"].to_pylist() == hits["id"].to_pylist()[:2]
    names = [row["product"] for row in rows]
    for hit in hits.to_pylist():
        alone = not (hit["product"] or "").strip()
        assert hit["group_size"] == (1 if alone else names.count(hit["product"]))


@FUSES
def test_hits_are_products_after_filters_adding_and_removing(tmp_path, fuse):
    folder = product_bundle(tmp_path / "bundle", fuse)
    check(open_bundle(folder), fuse)
    check(open_bundle(folder), fuse, "price > 1 and price != 5")

    held = open_bundle(folder)
    new = pa.table(
        {
            "id": ["n0", "n1", "n2"],
            "path": ["", "", ""],
            "label": ["l0", "l1", "l1"],
            "product": ["z", "new", "new"],
        }
    )
    vectors = held.kept_vectors([0, 4, 5])[:, ::-1]
    with writing(folder):
        add(open_live(folder), new, vectors)
    check(open_bundle(folder), fuse)
    with writing(folder):
        remove(open_live(folder), ["p0", "p8", "n1"])
    after = open_bundle(folder)
    assert len(after.items) == 12
    check(after, fuse)
    check(after, fuse, "label = l1")


@FUSES
def test_photos_or_another_column_when_asked_for(tmp_path, fuse):
    bundle = open_bundle(product_bundle(tmp_path / "bundle", fuse))
    query = bundle.kept_vectors([4])
    scores = cosines(bundle, query[0])
    (photos,) = bundle.search_embeddings(query, None, each_photo=True)
    assert photos["id"].to_pylist() == sorted(scores, key=lambda id: -scores[id])
    assert "group_size" not in photos.column_names

    (labels,) = bundle.search_embeddings(query, None, group_by="label")
    assert labels["group_size"].to_pylist() == [4, 4, 4]
    assert labels["score"][0].as_py() == pytest.approx(1, abs=1e-6)

    (named,) = bundle.search_embeddings(query, None, group_by="product")
    assert named.equals(bundle.search_embeddings(query, None)[0])
    assert bundle.uses_means(None, False) == bundle.uses_means("product", True) == (fuse == "mean")
    assert not bundle.uses_means("label", False)
    assert not bundle.uses_means(None, True)


def test_examples_leave_out_their_products(tmp_path):
    bundle = open_bundle(product_bundle(tmp_path / "bundle"))
    assert bundle.product(3).tolist() == [3, 4, 6]
    assert bundle.product(9).tolist() == [9]
    found = bundle.search_examples(["p3", "p9"], k=None)
    assert sorted(found["product"].to_pylist()) == [" ", "u", "x", "z"]
    photos = bundle.search_examples(["p3", "p9"], k=None, each_photo=True)
    assert {"p4", "p6"} <= set(photos["id"].to_pylist())
    assert len(photos) == 10


def test_items_without_the_column_are_photos(tmp_path):
    bundle = open_bundle(product_bundle(tmp_path / "bundle", "mean"))
    bare = Searcher(
        bundle.runtime, bundle.index, bundle.items.drop_columns("product"), bundle.manifest
    )
    (hits,) = bare.search_embeddings(bare.kept_vectors([0]), None)
    assert len(hits) == 12
    assert not bare.uses_means(None, False)
    assert bare.product(0).tolist() == [0]


def test_means_need_the_vectors(tmp_path, monkeypatch):
    bundle = open_bundle(product_bundle(tmp_path / "bundle", "mean"))
    query = bundle.kept_vectors([0])

    def fail(*args) -> None:
        raise ValueError("LSH can't give its vectors back")

    monkeypatch.setattr(type(bundle.index), "vectors", fail)
    with pytest.raises(ExampleError, match="means over a product's photos need the items' vectors"):
        bundle.search_embeddings(query)
    assert len(bundle.search_embeddings(query, None, each_photo=True)[0]) == 12


def test_means_with_parts_of_the_query_name_no_part(tmp_path):
    searcher = open_bundle(product_bundle(tmp_path / "bundle", "mean"))
    (hits,) = searcher.search([searcher.items["path"][4].as_py()], k=12, parts=True)
    assert "query_region" not in hits.column_names
    assert "region" not in hits.column_names
