"""A bundle whose index holds parts of photos: changed, rebuilt, copied, searched."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refusal
from small_bundle import fitted, photo

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.catalogs.demo import DemoCatalog
from vsearch.data.photos import read_square
from vsearch.data.regions import Grid
from vsearch.search.searcher import Searcher

GRID = Grid(2)
PARTS = (None, *GRID.boxes)


@pytest.fixture
def bundle(tmp_path) -> Path:
    return fitted(tmp_path / "bundle", n=12, index_views=GRID)


@pytest.fixture
def opened(bundle) -> Searcher:
    return open_bundle(bundle, "torch")


def vectors_of(searcher: Searcher, path: Path | str) -> np.ndarray:
    """The vectors of a photo and of its parts, one by one."""
    found = []
    for region in PARTS:
        square = read_square(path, searcher.runtime.preprocessing, region=region)
        found.append(searcher.runtime.embed(square[None])[0])
    return np.array(found)


def all_vectors(bundle: Path) -> np.ndarray:
    live = open_live(bundle)
    return live.all_vectors(np.arange(len(live.items)))


def part_of(folder: Path, path: str) -> Path:
    """A photo of the lower right quarter of another."""
    image = Image.open(path)
    image.crop((image.width // 2, image.height // 2, *image.size)).save(folder / "part.png")
    return folder / "part.png"


def test_each_item_has_the_vectors_of_its_parts(bundle, opened):
    found = all_vectors(bundle)
    assert found.shape == (12, 5, 8)
    for row in (0, 7):
        wanted = vectors_of(opened, opened.items["path"][row].as_py())
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)


def test_a_part_finds_its_photo_and_says_where(opened, tmp_path):
    query = part_of(tmp_path, opened.items["path"][4].as_py())
    (hits,) = opened.search([query], k=3)
    first = hits.to_pylist()[0]
    assert first["id"] == "p4"
    assert first["score"] == pytest.approx(1, abs=1e-3)
    assert first["region"] == [0.5, 0.5, 1.0, 1.0]


def test_a_whole_photo_finds_itself_as_a_whole(opened):
    (hits,) = opened.search([opened.items["path"][4].as_py()], k=12)
    assert len(set(hits["id"].to_pylist())) == 12
    assert hits["region"][0].as_py() is None


def test_parts_of_a_query_find_too_and_are_told(tmp_path):
    plain = open_bundle(fitted(tmp_path / "plain", n=12), "torch")
    pair = Image.new("RGB", (28, 40), "white")
    pair.paste(Image.open(plain.items["path"][2].as_py()), (14, 20))
    pair.save(tmp_path / "pair.png")
    (hits,) = plain.search([tmp_path / "pair.png"], k=12, parts=True)
    assert "region" not in hits.column_names

    queries = plain.embed_parts([tmp_path / "pair.png"])[0]
    items = plain.index.vectors(np.arange(12))
    best = (queries @ items.T).max(axis=0)
    assert hits["id"].to_pylist() == [f"p{row}" for row in np.argsort(-best)]
    np.testing.assert_allclose(hits["score"].to_numpy(), np.sort(best)[::-1], atol=1e-6)
    part = (queries @ items[int(best.argmax())]).argmax()
    told = hits["query_region"][0].as_py()
    assert (None if told is None else tuple(told)) == plain.query_regions[part]


def test_items_are_added_replaced_and_removed_with_their_parts(bundle, tmp_path, capsys):
    photo(tmp_path / "new" / "l2", 98)
    new = photo(tmp_path / "new" / "l1", 99)
    main(["index", "add", str(bundle), "--folder", str(tmp_path / "new")])
    main(["index", "remove", str(bundle), "p3", "p5"])
    main(["index", "verify", str(bundle)])
    searcher = open_bundle(bundle, "torch")
    assert len(searcher.index) == len(searcher.items) == 12
    (hits,) = searcher.search([part_of(tmp_path, str(new))], k=1)
    assert hits["path"][0].as_py() == str(new)
    assert hits["region"][0].as_py() == [0.5, 0.5, 1.0, 1.0]
    row = searcher.items["path"].to_pylist().index(str(new))
    np.testing.assert_allclose(all_vectors(bundle)[row], vectors_of(searcher, new), atol=1e-5)


def test_the_demos_photos_of_two_products_are_added(bundle, tmp_path, capsys):
    DemoCatalog(str(tmp_path / "demo"), 4, 2, 32, pairs=2).prepare()
    main(["index", "add", str(bundle), "--table", str(tmp_path / "demo" / "pairs.csv")])
    (hits,) = open_bundle(bundle).search([tmp_path / "demo" / "pairs" / "pair-00001.jpg"], k=1)
    assert hits["id"].to_pylist() == ["pair-00001"]
    assert hits["right"][0].as_py() != hits["label"][0].as_py()


@pytest.mark.parametrize("how", ["optimize", "build", "swap"])
def test_another_index_holds_the_same_parts(bundle, how, capsys):
    before = all_vectors(bundle)
    main(["index", "remove", str(bundle), "p0"])
    words = ["index", how, str(bundle)]
    if how != "optimize":
        words += ["--index", "vsearch.indexes.faiss.FaissIndex"]
        words += ["--init-args", json.dumps({"factory": "SQ8"})]
    if how == "swap":
        words += ["--min-overlap", "0"]
    main(words)
    np.testing.assert_allclose(all_vectors(bundle), before[1:], atol=2e-3)
    assert open_bundle(bundle).index.spec.endswith("5 vectors an item")


def test_an_index_of_codes_keeps_the_parts_beside_it(tmp_path):
    coded = fitted(tmp_path / "coded", n=12, factory="SQ4", index_views=GRID)
    plain = fitted(tmp_path / "plain", n=12, index_views=GRID)
    assert (coded / "vectors.npy").exists()
    np.testing.assert_allclose(all_vectors(coded), all_vectors(plain), atol=2e-3)


def test_it_is_copied_into_a_new_bundle(bundle, tmp_path, capsys):
    main(["index", "copy", str(bundle), str(tmp_path / "copy")])
    np.testing.assert_allclose(all_vectors(tmp_path / "copy"), all_vectors(bundle), atol=1e-6)


def test_what_has_whole_photos_only_is_refused(bundle, tmp_path, capsys):
    photo(tmp_path / "new" / "l1", 99)
    photo(tmp_path / "new" / "l2", 98)
    out = tmp_path / "out"
    words = ("embed", bundle, "--folder", tmp_path / "new", "--out", out)
    assert "`embed` embeds whole photos only" in refusal(capsys, *words)

    plain = fitted(tmp_path / "plain", n=12)
    main(["embed", str(plain), "--folder", str(tmp_path / "new"), "--out", str(out)])
    message = refusal(capsys, "index", "add", bundle, "--embeddings", out)
    assert "preprocessing.index_views" in message
