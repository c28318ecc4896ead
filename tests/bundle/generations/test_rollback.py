from pathlib import Path

import pytest
from kill_server import fold_now, optimize
from small import content, fitted, put_in, take_out

from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.generations.rollback import rollback
from vsearch.bundle.generations.writer_lock import writing
from vsearch.errors import BundleError


def undo(bundle: Path) -> Live:
    with writing(bundle):
        return rollback(bundle)[1]


def damage(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize("file", ["index.faiss", "items.parquet", "manifest.json"])
def test_a_damaged_generation_is_left_with_one_step(tmp_path, file):
    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 40, 2)
    before = content(open_live(bundle))
    optimize(bundle)
    damage(bundle / "generations" / "000001" / file)
    with pytest.raises(BundleError, match=f"{file} is damaged"):
        open_live(bundle)
    assert undo(bundle).state.generation == 0
    assert content(open_live(bundle)) == before
    assert [entry["what"].split(":")[0] for entry in open_live(bundle).history] == [
        "add",
        "optimize",
        "rollback",
    ]


def test_a_damaged_change_is_left(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 40, 2)
    before = content(open_live(bundle))
    take_out(bundle, "p3")
    damage(bundle / "changes" / "000002" / "removed.json")
    undo(bundle)
    assert content(open_live(bundle)) == before


def test_changes_on_top_of_a_damaged_generation_go_with_it(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    before = content(open_live(bundle))
    optimize(bundle)
    put_in(bundle, 40, 2)
    take_out(bundle, "p1")
    damage(bundle / "generations" / "000001" / "index.faiss")
    assert undo(bundle).state.generation == 0
    assert content(open_live(bundle)) == before


def test_what_is_whole_is_not_given_up_for_more_than_one_step(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 40, 2)
    optimize(bundle)
    put_in(bundle, 50, 2, seed=2)
    fold_now(bundle)
    before = content(open_live(bundle))
    damage(bundle / "generations" / "000001" / "index.faiss")
    with pytest.raises(BundleError, match=r"000001: index.faiss is damaged"):
        undo(bundle)
    assert content(open_live(bundle)) == before


def test_nothing_whole_before_is_said(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    with pytest.raises(BundleError, match="unchanged since its fit: there is nothing to roll back"):
        undo(bundle)
    optimize(bundle)
    for path in (bundle / "index.faiss", bundle / "generations" / "000001" / "index.faiss"):
        damage(path)
    with pytest.raises(BundleError, match=r"bundle: index.faiss is damaged"):
        undo(bundle)
