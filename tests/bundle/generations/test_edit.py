from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from kill_server import fold_now, optimize
from small import DIM, content, fitted, put_in, rows, take_out, unit

from vsearch.bundle.generations.changes import Edit, add_up
from vsearch.bundle.generations.edit import Edited, add
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.promote import Drift
from vsearch.bundle.generations.rebuild import advice, drift, rebuild
from vsearch.bundle.generations.rollback import rollback
from vsearch.bundle.generations.table_columns import conform
from vsearch.bundle.generations.writer_lock import writing
from vsearch.errors import BundleError
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex


def named(*ids: str) -> pa.Table:
    items = rows(50, len(ids))
    return items.set_column(items.column_names.index("id"), "id", pa.array(ids))


KINDS = ["Flat", "HNSW8", "IVF4,Flat", "SQ8", "PQ2x2"]


@pytest.mark.parametrize("factory", KINDS)
def test_any_order_of_changes_comes_to_what_a_plain_table_comes_to(tmp_path, factory):
    bundle, rng = fitted(tmp_path / "bundle", factory=factory), np.random.default_rng(0)
    plain = (
        dict(zip(rows(0, 40)["id"].to_pylist(), unit(40), strict=True))
        if factory in KINDS[:3]
        else {}
    )
    ids = rows(0, 40)["id"].to_pylist()
    for turn in range(20):
        start = int(rng.integers(60))
        action = rng.choice(["add", "remove", "fold", "optimize"], p=[0.5, 0.3, 0.1, 0.1])
        if action == "add":
            put_in(bundle, start, 3, seed=turn)
            new = rows(start, 3)["id"].to_pylist()
            ids = [id for id in ids if id not in new] + new
            plain |= dict(zip(new, unit(3, turn), strict=True))
        elif action == "remove":
            gone = [str(id) for id in rng.choice(ids, 2, replace=False)]
            take_out(bundle, *gone)
            ids = [id for id in ids if id not in gone]
        elif action == "optimize":
            optimize(bundle)
        elif open_live(bundle).state.changes:
            fold_now(bundle)
        live = open_live(bundle)
        assert live.items["id"].to_pylist() == ids
        assert len(live.index) == len(ids)
        vectors = live.vectors(np.arange(len(ids)))
        known = [place for place, id in enumerate(ids) if id in plain]
        want = np.stack([plain[ids[place]] for place in known]) if known else vectors[:0]
        assert np.abs(vectors[known] - want).max(initial=0) < (
            1e-6 if factory in KINDS[:3] else 1e-3
        )


def test_what_comes_and_goes_leaves_nothing():
    one = Edit(["p0"], rows(5, 2), unit(2))
    two = Edit(["p5"], rows(0, 1), unit(1, 3))
    came = add_up(rows(0, 3)["id"].to_pylist(), (DIM,), [one, two])
    assert (came.removed.tolist(), came.items["id"].to_pylist()) == ([0], ["p6", "p0"])
    assert np.array_equal(came.embeddings, [unit(2)[1], unit(1, 3)[0]])
    none = add_up(rows(0, 3)["id"].to_pylist(), (DIM,), [])
    assert (len(none), none.embeddings.shape) == (0, (0, DIM))
    assert none.applied(rows(0, 3)).equals(rows(0, 3))


@pytest.mark.parametrize(
    "change", [Edit(["p9"], rows(20, 1), unit(1)), Edit([], rows(1, 1), unit(1))]
)
def test_changes_that_do_not_fit_are_refused(change):
    with pytest.raises(
        BundleError, match=r"removes id 'p9', which doesn't|adds id 'p1', which already"
    ):
        add_up(rows(0, 3)["id"].to_pylist(), (DIM,), [change])


@pytest.mark.parametrize(
    ("items", "vectors", "message"),
    [
        (rows(50, 2), unit(3), r"embeddings of \(2, 8\)"),
        (rows(50, 2), unit(2)[:, :4], r"embeddings of \(2, 8\)"),
        (rows(50, 0), unit(0), "no items"),
        (pa.concat_tables([rows(50, 1), rows(50, 1)]), unit(2), "repeated: 'p50'"),
        (named("p1 "), unit(1), r"white space around them.*: 'p1 '\."),
        (named("\u00a0p1", "p2"), unit(2), r"white space around them.*: '\\xa0p1'\."),
        (
            named("caf\u00e9", "cafe\u0301"),
            unit(2),
            "Unicode form: 'caf\u00e9', 'cafe\u0301'\\.",
        ),
        (
            rows(50, 2),
            unit(2) * [[1], [2]],
            "1 embeddings are not of unit length, e.g. that of 'p51'",
        ),
        (rows(50, 2), unit(2) * np.nan, "2 embeddings are not of unit length"),
    ],
)
def test_what_cannot_be_added_changes_nothing(tmp_path, items, vectors, message):
    bundle = fitted(tmp_path / "bundle")
    before = (bundle / "CURRENT").read_bytes()
    with writing(bundle), pytest.raises(BundleError, match=message):
        add(open_live(bundle), items, vectors)
    assert (bundle / "CURRENT").read_bytes() == before
    assert not (bundle / "changes").exists()


@pytest.mark.parametrize("method", ["add", "remove"])
def test_what_an_index_refuses_is_not_acknowledged(tmp_path, monkeypatch, method):
    def refuse(*args) -> None:
        raise RuntimeError("can't do that")

    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 40, 1)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with writing(bundle):
        live = open_live(bundle)
        monkeypatch.setattr(FaissIndex, method, refuse)
        with pytest.raises(
            BundleError, match=r"change can't be made: .*RuntimeError.*Nothing was changed"
        ):
            add(live, rows(3, 2), unit(2))  # removes and adds
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert len(open_live(bundle).items) == len(live.index) == 41


def test_an_index_that_cannot_grow_keeps_what_it_has(tmp_path):
    bundle = fitted(tmp_path / "bundle", "NSG8,Flat", n=200)
    with pytest.raises(BundleError, match="change can't be made"):
        put_in(bundle, 200, 1)
    assert len(open_live(bundle).items) == 200


def test_all_that_a_generation_holds_may_go_once_others_have_come(tmp_path):
    bundle = fitted(tmp_path / "bundle", "HNSW8")
    put_in(bundle, 40, 2)
    take_out(bundle, *rows(0, 40)["id"].to_pylist())
    assert open_live(bundle).items["id"].to_pylist() == ["p40", "p41"]


def test_counts_of_a_change(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    done = put_in(bundle, 38, 4)
    assert done == Edited(done.live, added=2, replaced=2)
    done = take_out(bundle, "p0", "p0", "p1")
    assert done == Edited(done.live, removed=2)
    assert content(done.live) == content(open_live(bundle))
    assert (done.live.state, done.live.history) == (
        open_live(bundle).state,
        open_live(bundle).history,
    )
    assert drift(open_live(bundle)) == Drift(built=40, added=4, removed=4)
    fold_now(bundle)
    put_in(bundle, 70, 1)
    assert drift(open_live(bundle)) == Drift(built=40, added=5, removed=4)
    optimize(bundle)
    assert drift(open_live(bundle)) == Drift(built=41)


def test_rolling_back_and_going_on(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 40, 1)
    seen = [content(open_live(bundle))]
    optimize(bundle)
    take_out(bundle, "p3")
    for _ in range(2):
        undo(bundle)
    assert content(open_live(bundle)) == seen[0]
    assert open_live(bundle).state.generation == 0
    optimize(bundle)  # over what was rolled back
    assert (open_live(bundle).state.generation, content(open_live(bundle))) == (2, seen[0])
    assert sorted(path.name for path in (bundle / "generations").iterdir()) == ["000002"]


def undo(bundle: Path) -> None:
    with writing(bundle):
        rollback(bundle)


def test_columns_keep_their_type():
    items = pa.table({"id": ["a"], "price": [1.5], "size": ["XL"], "sold": [True], "none": [None]})
    new = pa.table(
        {
            "id": ["b", "c"],
            "price": ["2", None],
            "size": [42, 43],
            "sold": [None, None],
            "new": [1, 2],
        }
    )
    done = conform(new, items)
    assert done["price"].to_pylist()[0] == 2
    assert done["size"].to_pylist() == ["42", "43"]
    assert done.column_names == ["id", "price", "size", "new"]
    with pytest.raises(
        BundleError, match="column 'price' holds numbers; item 'b' has 'cheap' there"
    ):
        conform(new.set_column(1, "price", pa.array(["cheap", "3"])), items)


@pytest.mark.parametrize(
    ("index", "told"), [(ExactIndex(), False), (FaissIndex(), False), (FaissIndex("HNSW8"), True)]
)
def test_only_an_index_that_may_miss_something_should_be_built_anew(tmp_path, index, told):
    bundle = fitted(tmp_path / "bundle")
    with writing(bundle):
        rebuild(open_live(bundle), index, "build")
    put_in(bundle, 40, 8)
    assert advice(open_live(bundle)) is None  # 20 % is not yet above 20 %
    take_out(bundle, "p0")
    assert bool(advice(open_live(bundle))) == told
    fold_now(bundle)
    assert bool(advice(open_live(bundle))) == told
