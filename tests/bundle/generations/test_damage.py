import shutil
from pathlib import Path

import numpy as np
import pytest
from adversarial.damage import damaged
from kill_server import fold_now, optimize
from small import content, fitted, put_in, take_out

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.verify import verify
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex

PLACES = 2000


@pytest.fixture
def made(tmp_path) -> Path:
    bundle = fitted(tmp_path / "bundle", factory="SQ8")
    put_in(bundle, 40, 3)
    optimize(bundle)
    put_in(bundle, 50, 2, seed=2)
    fold_now(bundle)
    take_out(bundle, "p1")
    put_in(bundle, 60, 2, seed=5)
    return bundle


def test_every_flipped_bit_and_every_cut_is_noticed_before_anything_reads_the_file(
    made, monkeypatch
):
    rng, opened = np.random.default_rng(0), []
    files = [path for path in sorted(made.rglob("*")) if path.is_file() and path.name != ".lock"]
    whole = {path: path.read_bytes() for path in files}
    monkeypatch.setattr(FaissIndex, "open", lambda *args: opened.append(args))
    for turn in range(PLACES):
        path = files[turn % len(files)]
        path.write_bytes(damaged(whole[path], rng))
        with pytest.raises(BundleError):
            list(verify(made))
        path.write_bytes(whole[path])
    assert len(files) >= 15  # of the fit, of two generations, of two changes
    assert not opened


def test_what_is_read_is_checked_and_what_is_not_does_no_harm(made):
    rng, before = np.random.default_rng(1), content(open_live(made))
    current = made / "generations" / f"{open_live(made).state.generation:06d}"
    files = [path for path in sorted(made.rglob("*")) if path.is_file() and path.name != ".lock"]
    read = {
        made / "CURRENT",
        made / "manifest.json",
        *current.iterdir(),
        *(made / "changes").glob("*/*"),
    }
    read -= {current / "PREVIOUS"}  # for rollback alone
    for path in files:
        data = path.read_bytes()
        path.write_bytes(damaged(data, rng))
        try:
            assert content(open_live(made)) == before
            assert (
                path not in read or path.parent.parent.name == "changes"
            )  # those that the older generation has
        except BundleError:
            assert path in read
        path.write_bytes(data)


def test_a_file_that_is_gone_is_named(made):
    for path in sorted(path for path in made.rglob("*") if path.is_file() and path.name != ".lock"):
        path.rename(made.parent / "away")
        with pytest.raises(BundleError, match=r"missing|isn't a bundle|isn't kept"):
            list(verify(made))
        (made.parent / "away").rename(path)


def test_a_bundle_as_fitted_notices_too(tmp_path):
    bundle, rng = fitted(tmp_path / "bundle"), np.random.default_rng(2)
    for path in sorted(bundle.iterdir()):
        for _ in range(20):
            data = path.read_bytes()
            path.write_bytes(damaged(data, rng))
            with pytest.raises(BundleError):
                list(verify(bundle))
            path.write_bytes(data)


def test_a_bundle_of_before_there_were_generations_opens(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    (bundle / "CURRENT").unlink()
    assert len(open_live(bundle).items) == 40
    put_in(bundle, 40, 1)
    assert len(open_live(bundle).items) == 41
    shutil.copytree(bundle, tmp_path / "moved")
    assert len(open_live(tmp_path / "moved").items) == 41
