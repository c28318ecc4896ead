import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from indexes.hits import assert_same_hits
from killed_shard import make_or_die
from small_bundle import embedded, fitted, unit_vectors

from vsearch.bundle.bulk import shards as sharding
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.verify import verify
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.embedding_parts import open_parts
from vsearch.indexes.faiss import FaissIndex

VECTORS, QUERIES = unit_vectors(400), unit_vectors(20, seed=1)
BROKEN = (7, *range(50, 100))
GOOD = np.array([n for n in range(400) if n not in BROKEN])
IVF = '{"factory": "IVF8,Flat", "search": {"nprobe": 3}, "train_sample": 320}'
IVF_MAPPED = IVF.replace("}, ", '}, "mmap": true, ')


@pytest.fixture
def made(tmp_path) -> Path:
    bundle = fitted(tmp_path / "bundle")
    embedded(tmp_path / "out", bundle, VECTORS, 50, BROKEN)
    return bundle


@pytest.fixture
def here(monkeypatch) -> None:
    """Shards are made in this process: to start others takes a second each."""

    class Here:
        def __init__(self, *_: object) -> None:
            self.futures = []

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, function, *given):
            from concurrent.futures import Future

            future: Future = Future()
            future.set_result(function(*given))
            return future

        def shutdown(self, **_: object) -> None:
            pass

    monkeypatch.setattr(sharding, "ProcessPoolExecutor", Here)


def shards(capsys, made: Path, *words: str, settings: str = IVF) -> str:
    capsys.readouterr()
    folder = str(made.parent / "out")
    index = ["--index", "vsearch.indexes.faiss.FaissIndex", "--init-args", settings]
    main(["shards", str(made), "--embeddings", folder, *index, "--shards", "3", *words])
    return capsys.readouterr().out


def ending(capsys, *words: object, **settings: str) -> str:
    with pytest.raises(SystemExit) as ended:
        shards(capsys, *words, **settings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("vsearch shards: ")
    return said


def one_index(made: Path) -> FaissIndex:
    """What `shards` should come to: trained on the same sample, and all added in one go, the
    bundle's own last.
    """
    index = FaissIndex("IVF8,Flat", search={"nprobe": 3}, train_sample=320)
    index.train(VECTORS[GOOD][index.sample(len(GOOD))])
    index.add(np.concatenate([VECTORS[GOOD], open_live(made).vectors(np.arange(30))]))
    return index


def check(made: Path, wanted: FaissIndex) -> None:
    opened = open_bundle(made)
    assert opened.items["id"].to_pylist() == [
        *(f"e{n}" for n in GOOD),
        *(f"p{n}" for n in range(30)),
    ]
    assert_same_hits(opened.index.search(QUERIES, 10), wanted.search(QUERIES, 10))
    live = open_live(made)
    np.testing.assert_allclose(live.vectors(np.arange(len(GOOD))), VECTORS[GOOD], atol=1e-3)
    assert list(verify(made))
    (hits,) = opened.search([made.parent / "photos" / "4.png"], 1)
    assert hits["id"][0].as_py() == "p4"


@pytest.mark.parametrize("settings", [IVF, IVF_MAPPED])
def test_shards_become_the_index_that_is_built_in_one_go(made, capsys, here, settings):
    wanted = one_index(made)
    text = shards(capsys, made, settings=settings)
    assert "Training IVF8,Flat, nprobe=3 on 320 embeddings." in text
    assert "3 shards, 3 of them to make here." in text
    assert "Generation 1: 379 items, 30 of them from before, IVF8,Flat, nprobe=3" in text
    check(made, wanted)
    assert not (made.parent / "out" / "shards").exists()
    main(["index", "remove", str(made), "e0", "p29"])
    main(["index", "optimize", str(made)])
    assert len(open_bundle(made).index) == 377


def test_the_whole_of_a_bundle_s_items_gives_what_index_build_gives(made, capsys, here):
    """All items of the parts are the bundle's already: nothing is carried over, and the samples are
    the same.
    """
    live = open_live(made)
    vectors, folder = live.vectors(np.arange(30)), made.parent / "own"
    parts = embedded(folder, made, vectors, 7)
    for number in range(len(parts)):
        rows = pd.read_parquet(parts.file(number))
        rows.assign(id=rows["id"].str.replace("e", "p")).to_parquet(parts.file(number))
    settings = '{"factory": "IVF4,Flat", "train_sample": 20}'
    shutil.copytree(made, made.parent / "other")
    index = ["--index", "vsearch.indexes.faiss.FaissIndex", "--init-args", settings]
    main(["shards", str(made), "--embeddings", str(folder), *index])
    main(["index", "build", str(made.parent / "other"), *index])
    one, other = open_bundle(made), open_bundle(made.parent / "other")
    assert one.items["id"] == other.items["id"]
    assert_same_hits(one.index.search(QUERIES, 5), other.index.search(QUERIES, 5))


def test_steps_and_shares_and_what_is_whole_is_kept(made, capsys, here):
    wanted = one_index(made)
    assert "isn't trained yet" in ending(capsys, made, "--step", "add")
    shards(capsys, made, "--step", "train")
    (work,) = (made.parent / "out" / "shards").iterdir()
    (work / ".making-0001").mkdir()  # of a process that was killed
    text = shards(capsys, made, "--step", "add", "--share", "1/2")
    assert "3 shards, 1 of them to make here." in text
    assert "2 of 3 shards are missing; the first is 0" in ending(capsys, made, "--step", "join")
    before = (work / "0001" / "index.faiss").stat().st_mtime_ns
    assert "2 of them to make here" in shards(capsys, made, "--step", "add")
    assert (work / "0001" / "index.faiss").stat().st_mtime_ns == before
    shards(capsys, made, "--step", "join")
    check(made, wanted)


def test_a_killed_process_costs_its_shard_alone(made, capsys, monkeypatch):
    """The second shard's process dies; the same command then goes on with what is missing."""
    wanted = one_index(made)
    with monkeypatch.context() as patch:
        patch.setattr(sharding, "make_shard", make_or_die)
        assert "was killed" in ending(capsys, made, "--processes", "1")
    assert "3 shards, 2 of them to make here." in shards(capsys, made, "--processes", "1")
    check(made, wanted)


def test_paths_and_metadata_come_from_a_table(made, capsys, here):
    ids = [f"e{n}" for n in range(400)]
    table = pd.DataFrame(
        {"id": ids, "path": [f"{id}.png" for id in ids], "label": "new", "price": range(400)}
    )
    table.to_csv(made.parent / "items.csv", index=False)
    shards(capsys, made, "--table", str(made.parent / "items.csv"))
    items = open_bundle(made).items.to_pandas().set_index("id")
    assert items.loc["e9", ["label", "price"]].tolist() == ["new", 9]
    assert items.loc["e9", "path"].endswith("e9.png")
    assert items.loc["p9", "price"] == 9


def test_what_can_not_be_built_is_refused_before_any_work(made, capsys, tmp_path):
    assert "shards of HNSW8 can't be joined" in ending(
        capsys, made, settings='{"factory": "HNSW8"}'
    )
    assert "IVF512,Flat trains 512 centroids, but there are 349 training vectors" in ending(
        capsys, made, settings='{"factory": "IVF512,Flat"}'
    )
    assert "--share needs --step add" in ending(capsys, made, "--share", "0/2")
    message = ending(capsys, made, "--index", "vsearch.indexes.exact.ExactIndex", settings="{}")
    assert "shards need vsearch.indexes.faiss.FaissIndex" in message
    other = fitted(tmp_path / "another" / "bundle", seed=1)
    assert "of another model" in ending(capsys, other, "--embeddings", str(made.parent / "out"))
    open_parts(made.parent / "out").file(3).unlink()
    assert "1 of 8 parts are missing, e.g. 000003.parquet" in ending(capsys, made)
    assert open_live(made).state.generation == 0


def test_an_index_without_a_sample_gets_one(made):
    parts = open_parts(made.parent / "out")
    planned = sharding.plan(parts, FaissIndex("IVF8,Flat"), 99)
    assert planned.index.train_sample == 256 * 256
    assert planned.n == 8
    assert sharding.plan(parts, FaissIndex("Flat"), 2).index.train_sample is None
    assert planned.work != sharding.plan(parts, FaissIndex("IVF8,Flat", seed=1), 99).work
    assert [len(run) for run in planned.runs()] == [1] * 8
    parts.file(2).touch()
    assert planned.work != sharding.plan(parts, FaissIndex("IVF8,Flat"), 99).work
