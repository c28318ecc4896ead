import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refusal
from small_bundle import fitted, photo, table
from tiny import TinyBackbone

from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main

FLAT = "vsearch.indexes.faiss.FaissIndex"


@pytest.fixture
def made(tmp_path) -> Path:
    return fitted(tmp_path / "bundle")


def csv(made: Path, numbers: range, name: str = "new.csv", **columns: list) -> Path:
    items = table(made.parent / "photos", numbers, **columns)
    items.assign(path=[f"photos/{n}.png" for n in numbers]).to_csv(made.parent / name, index=False)
    return made.parent / name


def index(capsys, *words: object) -> str:
    capsys.readouterr()
    main(["index", *map(str, words)])
    return capsys.readouterr().out


def described(capsys, made: Path) -> dict:
    return json.loads(index(capsys, "describe", made, "--json"))


def ending(capsys, *words: object, status: int = 2) -> str:
    return refusal(capsys, "index", *words, status=status)


def found(made: Path, number: int) -> str:
    (hits,) = open_bundle(made).search([made.parent / "photos" / f"{number}.png"], 1)
    return hits["id"][0].as_py()


def test_what_meets_a_filter_is_removed(made, capsys):
    items = open_bundle(made).items.to_pandas()
    cheap = items["id"][items["price"] < 5].tolist()
    assert f"Removed {len(cheap) + 1} items." in index(
        capsys, "remove", made, "p9", cheap[0], "--where", "price < 5"
    )
    assert not {*open_bundle(made).items["id"].to_pylist()} & {"p9", *cheap}
    assert "Removed 0 items." in index(capsys, "remove", made, "--where", "price < 5")
    assert "--where: " in ending(capsys, "remove", made, "--where", "prise < 5")
    assert "a filter with --where" in ending(capsys, "remove", made)


def test_what_is_added_is_found_and_what_is_removed_is_not(made, capsys):
    assert "Added 5 items, replaced 0; left out 0" in index(
        capsys, "add", made, "--table", csv(made, range(30, 35))
    )
    assert [found(made, n) for n in (2, 31, 34)] == ["p2", "p31", "p34"]
    assert index(capsys, "remove", made, "p2", "p31") == "Removed 2 items.\n"
    opened = open_bundle(made)
    assert len(opened.items) == len(opened.index) == 33
    assert not {found(made, 2), found(made, 31)} & {"p2", "p31"}
    assert [found(made, n) for n in (0, 34)] == ["p0", "p34"]
    assert opened.items["price"].to_pylist()[-1] == 34


def test_a_dry_run_says_what_would_change_and_writes_nothing(made, capsys):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    table = csv(made, range(28, 35))
    told = index(capsys, "add", made, "--table", table, "--dry-run")
    assert "Would add 5 items, replace 2; left out 0" in told
    assert "Nothing was written" in told
    assert "Would remove 2 items" in index(capsys, "remove", made, "p2", "p3", "--dry-run")
    assert "1 of 2 ids are not" in ending(capsys, "remove", made, "p2", "p99", "--dry-run")
    (made / ".lock").unlink()  # of whoever may write
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


def test_an_item_that_is_added_again_is_replaced(made, capsys):
    path = csv(made, range(3, 4), stock=[7])
    frame = pd.read_csv(path).assign(id="p5", label="other")
    frame.to_csv(path, index=False)
    assert "Added 0 items, replaced 1" in index(capsys, "add", made, "--table", path)
    opened = open_bundle(made)
    (row,) = (row for row in opened.items.to_pylist() if row["id"] == "p5")
    assert (len(opened.items), row["label"], row["stock"], row["price"]) == (30, "other", "7", 3)


def test_a_folder_with_broken_photos(made, capsys):
    photo(made.parent / "more" / "boots", 50)
    (made.parent / "more" / "boots" / "bad.png").write_text("no photo")
    text = index(capsys, "add", made, "--folder", made.parent / "more")
    assert "bad.png" in text
    assert "Added 1 items, replaced 0; left out 1." in text
    assert open_bundle(made).items["id"].to_pylist()[-1] == "boots/50.png"


def test_a_table_with_missing_photos_says_how_many(made, capsys):
    path = csv(made, range(30, 33))
    (made.parent / "photos" / "31.png").unlink()
    text = index(capsys, "add", made, "--table", path)
    assert "1 rows" in text
    assert "Added 2 items" in text


def test_a_tables_paths_may_start_from_another_folder(made, capsys):
    path = csv(made, range(30, 33))
    moved = made.parent / "tables" / "new.csv"
    moved.parent.mkdir()
    path.rename(moved)
    moved.write_text(moved.read_text().replace("photos/", f"{made.parent}/photos/"))
    assert "lead out of" in ending(capsys, "add", made, "--table", moved)
    text = index(capsys, "add", made, "--table", moved, "--root", made.parent)
    assert "Added 3 items" in text


def test_removing_what_is_not_there(made, capsys):
    message = ending(capsys, "remove", made, "p1", "nope")
    assert "1 of 2 ids are not in the bundle: 'nope'. Nothing was removed." in message
    assert len(open_bundle(made).items) == 30
    (made.parent / "ids.txt").write_text("p1\n\nnope\n")
    text = index(capsys, "remove", made, "--ids-from", made.parent / "ids.txt", "--ignore-missing")
    assert text == "Removed 1 items; 1 ids were not found.\n"
    for name, content, reason in (
        ("none.txt", None, "No such file"),
        ("bad.txt", b"\x81\xff", "it isn't UTF-8"),
    ):
        if content:
            (made.parent / name).write_bytes(content)
        message = ending(capsys, "remove", made, "--ids-from", made.parent / name)
        assert message.startswith(f"--ids-from {made.parent / name} can't be read: {reason}")
        assert "bundle is undamaged" not in message
    assert "would remove every item" in ending(
        capsys, "remove", made, *open_bundle(made).items["id"].to_pylist()
    )
    assert "name the ids" in ending(capsys, "remove", made)


def predicted(made: Path, numbers: range) -> Path:
    items = table(made.parent / "photos", numbers)
    vectors = embed_photos(open_bundle(made).runtime, items).embeddings
    items[["id", "label"]].assign(embedding=list(vectors)).to_parquet(
        made.parent / "embeddings.parquet"
    )
    return made.parent / "embeddings.parquet"


def test_embeddings_are_added_without_photos(made, capsys):
    mark = json.loads((made / "manifest.json").read_text())["fingerprint"]
    index(
        capsys, "add", made, "--embeddings", predicted(made, range(30, 33)), "--fingerprint", mark
    )
    assert found(made, 31) == "p31"
    words = (
        "--embeddings",
        predicted(made, range(33, 35)),
        "--table",
        csv(made, range(33, 36)),
        "--fingerprint",
        made,
    )
    index(capsys, "add", made, *words)
    items = open_bundle(made).items.to_pandas().set_index("id")
    assert items.loc["p34", "price"] == 34
    assert items.loc["p31", "path"] == ""


def test_embeddings_of_another_model_are_refused_with_both_fingerprints(made, capsys):
    other = fitted(made.parent / "other", seed=1)
    marks = [
        json.loads((place / "manifest.json").read_text())["fingerprint"] for place in (made, other)
    ]
    file = predicted(other, range(30, 33))
    for given in (marks[1], other):
        message = ending(capsys, "add", made, "--embeddings", file, "--fingerprint", given)
        assert all(mark in message for mark in marks)
        assert "weights" in message
    assert f"here: {marks[0]}" in ending(capsys, "add", made, "--embeddings", file)
    assert "neither a fingerprint" in ending(
        capsys, "add", made, "--embeddings", file, "--fingerprint", "x"
    )
    assert len(open_bundle(made).items) == 30


@pytest.mark.parametrize("words", [[], ["--table", "a.csv", "--folder", "b"]])
def test_sources_that_make_no_sense(made, capsys, words):
    assert "name what to add" in ending(capsys, "add", made, *words)


def test_verify_says_what_it_checked(made, capsys):
    index(capsys, "add", made, "--table", csv(made, range(30, 32)))
    index(capsys, "optimize", made)
    index(capsys, "remove", made, "p3")
    text = index(capsys, "verify", made)
    for line in (
        "generation 1: manifest.json",
        "generation 0: manifest.json",
        "items: 31",
        "canaries: 8 photos",
    ):
        assert line in text
    assert text.endswith("All is well.\n")


def test_verify_notices_a_network_that_embeds_differently(made, capsys, monkeypatch):
    forward = TinyBackbone.forward
    monkeypatch.setattr(TinyBackbone, "forward", lambda self, photos: forward(self, photos) + 0.5)
    assert "embeddings have changed" in ending(capsys, "verify", made, status=1)


def test_describe(made, capsys):
    index(capsys, "add", made, "--table", csv(made, range(30, 36)))
    index(capsys, "remove", made, "p0")
    got = described(capsys, made)
    assert (got["items"], got["generation"], got["pending"]) == (
        35,
        0,
        {"changes": 2, "added": 6, "removed": 1},
    )
    assert got["drift"] == {"share": pytest.approx(7 / 30), "built": 30, "added": 6, "removed": 1}
    assert got["advice"] is None  # Flat compares every vector
    assert [entry["what"] for entry in got["history"]] == [
        "add: 6 new, 0 replaced",
        "remove: 1 items",
    ]
    text = index(capsys, "describe", made)
    assert "23.3% of 30" in text
    assert "2 changes" in text


def test_a_drifted_graph_should_be_built_anew(tmp_path, capsys):
    made = fitted(tmp_path / "bundle", factory="HNSW8")
    assert "Advice" not in index(capsys, "add", made, "--table", csv(made, range(30, 36)))
    text = index(capsys, "add", made, "--table", csv(made, range(36, 37)))
    assert "Advice: 23% of the rows" in text
    assert f"index optimize {made}" in text
    assert "Generation 1: 37 items, HNSW8" in index(capsys, "optimize", made)
    got = described(capsys, made)
    assert (got["generation"], got["pending"]["changes"], got["drift"]["share"], got["advice"]) == (
        1,
        0,
        0,
        None,
    )
    assert found(made, 36) == "p36"


def test_many_changes_are_folded_by_themselves(made, capsys, monkeypatch):
    monkeypatch.setattr("vsearch.bundle.generations.rebuild.FOLD_ROWS", 3)
    index(capsys, "remove", made, "p1", "--no-fold")
    assert "Folded" not in index(
        capsys, "add", made, "--table", csv(made, range(30, 34)), "--no-fold"
    )
    assert described(capsys, made)["generation"] == 0
    assert "Folded 6 changed rows into generation 1" in index(capsys, "remove", made, "p2")
    got = described(capsys, made)
    assert (got["generation"], got["items"], got["drift"]["added"], got["drift"]["removed"]) == (
        1,
        32,
        4,
        2,
    )
    assert "generation 0, 33 items" in index(
        capsys, "rollback", made
    )  # the fold, and the remove before it
    assert "p2" in set(open_bundle(made).items["id"].to_pylist())


def test_a_removal_from_a_graph_is_folded_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vsearch.bundle.generations.rebuild.LINKED_ROWS", 20)
    made = fitted(tmp_path / "bundle", factory="HNSW8")
    assert "Folded" not in index(capsys, "remove", made, "p1", "--no-fold")
    assert "Folded 2 changed rows into generation 1" in index(capsys, "remove", made, "p2")
    assert "Now:    generation 0, 29 items" in index(capsys, "rollback", made)


def test_another_index_is_built_and_rolled_back(made, capsys):
    index(capsys, "remove", made, "p1")
    words = ("--index", FLAT, "--init-args", '{"factory": "HNSW8"}')
    assert "Generation 1: 29 items, HNSW8" in index(capsys, "build", made, *words)
    assert open_bundle(made).index.spec == open_bundle(made).manifest["index"]["spec"] == "HNSW8"
    index(capsys, "remove", made, "p2")
    assert "Now:    generation 1, 29 items, HNSW8" in index(capsys, "rollback", made)
    assert "Now:    generation 0, 29 items, Flat" in index(capsys, "rollback", made)
    assert "Now:    generation 0, 30 items, Flat" in index(capsys, "rollback", made)
    assert "unchanged since its fit: there is nothing to roll back" in ending(
        capsys, "rollback", made
    )
    assert "All is well" in index(capsys, "verify", made)


def test_only_the_last_generations_are_kept(made, capsys):
    for _ in range(4):
        index(capsys, "optimize", made)
    assert described(capsys, made)["kept_generations"] == [0, 3, 4]
    index(capsys, "rollback", made)
    assert "no longer kept" in ending(capsys, "rollback", made)
    assert "All is well" in index(capsys, "verify", made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--index", "nowhere.Index"], "can't be imported"),
        (
            ["--index", FLAT, "--init-args", '{"factory": "Nonsense"}'],
            "FAISS can't make 'Nonsense'",
        ),
        (["--index", FLAT, "--init-args", '{"frobnicate": 1}'], "frobnicate"),
        (["--index", FLAT, "--init-args", '{"factory": "IVF1000,Flat"}'], "1,000 centroids"),
    ],
)
def test_an_index_that_cannot_be_built_changes_nothing(made, capsys, words, message):
    before = {
        path: path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert message in ending(capsys, "build", made, *words)
    assert before == {
        path: path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_vectors_survive_an_index_of_codes(tmp_path, capsys):
    made = fitted(tmp_path / "bundle", n=60, factory="SQ4")
    assert described(capsys, made)["stored_vectors"]
    index(capsys, "add", made, "--table", csv(made, range(60, 64)))
    index(capsys, "remove", made, "p0")
    text = index(capsys, "build", made, "--index", FLAT)
    assert "Warning" not in text
    opened = open_bundle(made)
    exact = opened.embed(opened.items["path"].to_pylist())
    assert np.abs(opened.index.vectors(np.arange(63)) - exact).max() < 1e-3  # float16
    assert not described(capsys, made)["stored_vectors"]


def test_a_bundle_that_kept_codes_alone_says_so(tmp_path, capsys):
    made = fitted(tmp_path / "bundle", n=60, factory="PQ2x2", stored=False)
    assert "Warning: this index keeps codes" in index(capsys, "build", made, "--index", FLAT)


def test_an_exact_index_of_a_bfloat16_fit_keeps_no_codes(tmp_path, capsys, monkeypatch):
    made = fitted(tmp_path / "bundle", stored=False)
    monkeypatch.setattr("vsearch.bundle.canaries.in_index", lambda *_: np.full(8, 0.9998))
    assert "Warning" not in index(capsys, "build", made, "--index", FLAT)


def queries(made: Path, numbers: range) -> bytes:
    items = table(made.parent / "photos", numbers)[["id", "label", "path"]]
    items.to_parquet(made.parent / "q.parquet")
    return (made.parent / "q.parquet").read_bytes()


def test_swap_promotes_what_answers_alike_and_refuses_what_does_not(tmp_path, capsys):
    made = fitted(tmp_path / "bundle", n=60, queries=queries(tmp_path / "bundle", range(100, 120)))
    text = index(capsys, "swap", made, "--index", FLAT, "--init-args", '{"factory": "HNSW16"}')
    assert "Queries: 20 of the run's test photos; 0 can't be read" in text
    assert "overlap_at_10 1.0000" in text
    assert "Generation 1: 60 items, HNSW16" in text
    poor = ("--index", FLAT, "--init-args", '{"factory": "IVF30,SQ4"}', "--max-precision-loss", "1")
    message = ending(capsys, "swap", made, *poor, status=1)
    assert "rejected: overlap_at_10 is 0." in message
    assert open_bundle(made).index.spec == "HNSW16"
    assert "Generation 2: 60 items" in index(capsys, "swap", made, *poor, "--min-overlap", "0")
    manifest = json.loads((made / "generations" / "000002" / "manifest.json").read_text())
    assert manifest["shadow"]["queries"] == 20


def test_swap_without_test_photos_holds_items_out(made, capsys):
    text = index(capsys, "swap", made, "--index", FLAT, "--queries", "7")
    assert "Queries: 7 of the items, held out" in text
    assert "overlap_at_10 1.0000" in text


def test_an_index_is_named_by_a_config(made, capsys):
    config = Path(__file__).parents[3] / "configs" / "index" / "hnsw.yaml"
    assert "Generation 1: 30 items, HNSW16" in index(capsys, "build", made, "--config", config)
    assert open_bundle(made).index.describe()["search"] == {"efConstruction": 200, "efSearch": 64}
    assert "Generation 2: 30 items, Flat" in index(
        capsys, "swap", made, "--config", config.with_name("flat.yaml")
    )
    words = ("--config", config, "--init-args", '{"factory": "SQ8"}')  # in place of the config's
    assert "Generation 3: 30 items, SQ8" in index(capsys, "build", made, *words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "can't be read: "),
        ("index: [", "can't be read: "),
        ("model: {}", "has no `index:` with a `class_path`"),
        ("index: {init_args: {}}", "has no `index:` with a `class_path`"),
        ("- index", "has no `index:` with a `class_path`"),
        ("index: {class_path: nowhere.Index}", "nowhere.Index can't be imported"),
        ("index: {class_path: 7}", "7 can't be imported"),
    ],
)
def test_a_config_without_an_index_changes_nothing(made, capsys, text, message):
    config = made.parent / "some.yaml"
    if text:
        config.write_text(text)
    said = ending(capsys, "build", made, "--config", config)
    assert str(config) in said
    assert message in said
    assert not (made / "generations").exists()


@pytest.mark.parametrize("words", [[], ["--index", FLAT, "--config", "some.yaml"]])
def test_an_index_is_named_once(made, capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(["index", "build", str(made), *words])
    assert ended.value.code == 2
    assert "--config" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["abc", "0", "1.5"])
def test_a_number_of_queries_that_is_none(capsys, number):
    with pytest.raises(SystemExit):
        main(["index", "swap", "bundle", "--index", FLAT, "--queries", number])
    assert f"--queries: {number!r} is not a whole number of 1 or more\n" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle(tmp_path, capsys):
    for action in ("describe", "verify", "optimize", "rollback"):
        status = 1 if action == "verify" else 2
        said = ending(capsys, action, tmp_path, status=status)
        assert "isn't a bundle: it has no manifest.json" in said
    assert not list(tmp_path.iterdir())


def test_a_plugin_that_knows_nothing_of_this(tmp_path, capsys, monkeypatch):
    import sys

    from test_plugins import PLUGINS

    monkeypatch.syspath_prepend(tmp_path)
    brute_force = PLUGINS[PLUGINS.index("class BruteForce") : PLUGINS.index("class Stripes")]
    head = "import numpy as np\nfrom vsearch.indexes.base import Index\n\n\n"
    (tmp_path / "my_plugins.py").write_text(head + brute_force)
    monkeypatch.delitem(sys.modules, "my_plugins", raising=False)
    made = fitted(tmp_path / "bundle")
    index(
        capsys, "build", made, "--index", "my_plugins.BruteForce", "--init-args", '{"note": "mine"}'
    )
    index(capsys, "add", made, "--table", csv(made, range(30, 33)))
    index(capsys, "remove", made, "p31", "p4")
    assert [found(made, n) for n in (0, 32)] == ["p0", "p32"]
    index(capsys, "optimize", made)
    assert [found(made, n) for n in (0, 32)] == ["p0", "p32"]
    assert type(open_bundle(made).index).__name__ == "BruteForce"
    sys.modules.pop("my_plugins")


def test_a_runtime_that_the_bundle_has_no_export_for_is_refused_and_pytorch_is_the_quickest_without(
    made, capsys
):
    assert "openvino" in ending(
        capsys, "add", made, "--table", csv(made, range(30, 33)), "--runtime", "openvino"
    )
    assert "p31" not in set(open_bundle(made).items["id"].to_pylist())
    assert "Embedded with torch, float32.\n" in index(
        capsys, "add", made, "--table", csv(made, range(30, 33))
    )
