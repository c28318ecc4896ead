import json
import subprocess
from importlib import import_module
from pathlib import Path

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


def of_schema(bundle: Path, schema: int) -> Path:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    (bundle / "CURRENT").write_bytes(state_bytes(State(0, sha256(path)), []))
    return bundle


def test_an_older_bundle_is_refused_with_the_command_that_makes_it_new(tmp_path):
    bundle = of_schema(fitted(tmp_path / "version 0" / "bundle"), 2)
    config = bundle.with_name("config.yaml")
    config.write_text(
        "a: vsearch.backbones.timm.TimmBackbone\nb: vsearch.heads.mlp.MLPHead\n"
        "c: vsearch.catalogs.folder.FolderCatalog\nd: vsearch.splits.StratifiedSplit\n"
        "e: vsearch.losses.matryoshka.MatryoshkaLoss\nf: vsearch.samplers.random.RandomPlan\n"
        "g: vsearch.indexes.faiss.FaissIndex\nh: callbacks.build_index.BuildIndex\n"
    )
    with pytest.raises(BundleError, match=r"schema 2; this vsearch reads schema 3\.") as refused:
        open_live(bundle)

    rename, fit = str(refused.value).partition(" Fit it again: ")[2].split(" && ")
    assert fit == f"python -m vsearch fit --config '{config}'"
    subprocess.run(rename, shell=True, check=True)
    for line in config.read_text().splitlines():
        module, _, name = line.partition(": ")[2].rpartition(".")
        assert hasattr(import_module(module), name)


def test_a_newer_bundle_is_refused(tmp_path):
    bundle = of_schema(fitted(tmp_path / "bundle"), 4)
    bundle.with_name("config.yaml").write_text("")
    with pytest.raises(BundleError, match=r"schema 4; this vsearch reads schema 3\.$"):
        open_live(bundle)
