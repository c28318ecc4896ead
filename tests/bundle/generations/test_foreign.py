import json
import shutil
from pathlib import Path

import pytest
from kill_server import optimize
from small import fitted, put_in

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.manifest import check_model, model_of, read_fitted
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError

SIZE = {
    "size": 48,
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "interpolation": "bilinear",
    "fill": [255] * 3,
}
OTHERS = {
    "weights": ({"weights": "others"}, "weights: "),
    "preprocessing": ({"preprocessing": SIZE}, "preprocessing.size: 48, here 32"),
    "dim": ({"dim": 16}, "dim: 16, here 8"),
    "normalisation": ({"normalisation": "none"}, "normalisation: none, here l2"),
    "metric": ({"metric": "l1"}, "metric: l1, here cosine"),
}


def graft(other: Path, bundle: Path) -> None:
    """Put another bundle's generations under this one."""
    shutil.copytree(other / "generations", bundle / "generations")
    shutil.copy(other / "CURRENT", bundle / "CURRENT")


@pytest.mark.parametrize("name", OTHERS)
def test_a_generation_of_another_model_is_refused_with_both_fingerprints(tmp_path, name):
    ours, (parts, difference) = fitted(tmp_path / "ours"), OTHERS[name]
    other = fitted(tmp_path / "other")
    optimize(other)
    shutil.rmtree(tmp_path / "ours")
    theirs = fitted(
        tmp_path / "theirs", **parts
    )  # the same vectors, as a model with other parts would announce them
    manifest = json.loads((other / "generations" / "000001" / "manifest.json").read_text())
    manifest["model"] = model_of(read_fitted(theirs))
    (other / "generations" / "000001" / "manifest.json").write_text(json.dumps(manifest))
    ours = fitted(tmp_path / "ours")
    graft(other, ours)
    state = State(1, sha256(ours / "generations" / "000001" / "manifest.json"))
    (ours / "CURRENT").write_bytes(state_bytes(state, []))
    with pytest.raises(BundleError, match="of another model") as refused:
        open_live(ours)
    marks = [read_fitted(folder)["fingerprint"] for folder in (ours, theirs)]
    assert marks[0] != marks[1]
    assert all(mark in str(refused.value) for mark in marks)
    assert difference in str(refused.value)


def test_a_generation_of_another_format_is_refused(tmp_path):
    bundle = fitted(tmp_path / "bundle")
    optimize(bundle)
    path = bundle / "generations" / "000001" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}))
    (bundle / "CURRENT").write_bytes(state_bytes(State(1, sha256(path)), []))
    with pytest.raises(BundleError, match="schema 9; this vsearch reads schema 1"):
        open_live(bundle)


def test_what_differs_is_told_as_far_as_it_is_known(tmp_path):
    ours = model_of(read_fitted(fitted(tmp_path / "ours")))
    check_model({"fingerprint": ours["fingerprint"]}, ours, "they are")
    with pytest.raises(BundleError, match="Differences: one of weights, preprocessing, dim"):
        check_model({"fingerprint": "f" * 64}, ours, "they are")


def test_changes_on_top_of_another_generation_do_not_fit(tmp_path):
    bundle, other = fitted(tmp_path / "bundle"), fitted(tmp_path / "other", n=20)
    put_in(bundle, 25, 5)
    put_in(other, 20, 2)
    shutil.rmtree(bundle / "changes")
    shutil.copytree(other / "changes", bundle / "changes")
    with pytest.raises(BundleError, match="damaged or from another bundle"):
        open_live(bundle)
