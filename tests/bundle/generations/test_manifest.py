import json

import pytest
from small import fitted, put_in

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, AssertionError, IndexError])
def test_an_error_of_an_index_says_what_was_being_done(tmp_path, monkeypatch, kind):
    def broken(*args) -> None:
        raise kind("so it went")

    bundle = fitted(tmp_path / "bundle")
    put_in(bundle, 50, 1)
    for method, what in (("add", "making the changes in the index"), ("open", "opening the index")):
        monkeypatch.setattr(FaissIndex, method, broken)
        with pytest.raises(
            BundleError, match=f"{what} failed .{kind.__name__}: .*so it went"
        ) as refused:
            open_live(bundle)
        assert "manifest" not in str(refused.value)


def test_a_manifest_that_lacks_an_entry_is_named(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    path = bundle / "manifest.json"
    path.write_text(
        json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "index"})
    )
    (bundle / "CURRENT").write_bytes(state_bytes(State(0, sha256(path)), []))
    with pytest.raises(BundleError, match=r"reading manifest.json failed .KeyError: 'index'"):
        open_live(bundle)


def test_what_says_enough_passes(tmp_path):
    for error in (OSError("no space"), BundleError("damaged")):
        with pytest.raises(type(error)) as same, explained(tmp_path, "writing"):
            raise error
        assert same.value is error
