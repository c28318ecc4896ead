import json
import os
import sys

import pytest
import torch
from tiny import TinyBackbone
from torch import nn

from vsearch.class_paths import SpecError, build, describe, plugins_of, trust
from vsearch.models.backbones.base import Backbone
from vsearch.models.heads.base import Head
from vsearch.models.heads.mlp import MLPHead


class Pool(nn.Module):
    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = p


class Pooled(nn.Module):
    def __init__(self, pool: Pool, sizes: list[int], weights: str | None = None) -> None:
        super().__init__()
        self.pool, self.sizes = pool, tuple(sizes)


def test_what_is_described_is_built_again_with_its_nested_objects():
    entry = json.loads(json.dumps(describe(Pooled(Pool(2.5), [1, 2], "some.pth"))))
    assert entry["init_args"]["weights"] is None
    again = build({**entry, "origin": "ignored"}, nn.Module)
    assert type(again) is Pooled
    assert (again.pool.p, again.sizes) == (2.5, (1, 2))


def test_a_head_and_a_backbone_describe_themselves():
    assert describe(MLPHead(16, 8)) == {
        "class_path": "vsearch.models.heads.mlp.MLPHead",
        "init_args": {"dim": 16, "hidden": 8},
    }
    assert isinstance(build(TinyBackbone(5).spec(), Backbone), TinyBackbone)


class Bare(nn.Module):
    """Without a constructor of its own."""


def test_a_class_without_a_constructor_has_no_arguments():
    assert describe(Bare())["init_args"] == {}


def test_an_argument_that_is_not_kept_is_an_error():
    class Forgetful(nn.Module):
        def __init__(self, depth: int = 1) -> None:
            super().__init__()

    with pytest.raises(
        AttributeError, match=r"Forgetful must keep its constructor arguments \['depth'\]"
    ):
        describe(Forgetful())


def test_a_value_that_no_config_has_is_an_error():
    layer = Pool()
    layer.p = {1, 2}
    with pytest.raises(TypeError, match="set can't be described"):
        describe(layer)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.Gone", "nowhere.Gone can't be imported"),
        ("torch.nn.Gone", "torch.nn.Gone can't be imported"),
        ("Short", "Short can't be imported"),
        ("torch.nn.Linear", "torch.nn.Linear is not a subclass of Head"),
        ("torch.nn.init", "torch.nn.init is not a subclass of Head"),
    ],
)
def test_a_wrong_class_path_is_refused(path, message):
    with pytest.raises(SpecError, match=message):
        build({"class_path": path, "init_args": {}}, Head)


def test_only_modules_are_built_inside_others():
    inner = {"class_path": "subprocess.Popen", "init_args": {"args": ["true"]}}
    with pytest.raises(SpecError, match="is not a subclass of Module"):
        build(
            {
                "class_path": f"{Pooled.__module__}.Pooled",
                "init_args": {"pool": inner, "sizes": []},
            },
            nn.Module,
        )


def test_tensors_are_not_described():
    layer = Pool()
    layer.p = torch.zeros(2)
    with pytest.raises(TypeError, match="Tensor can't be described"):
        describe(layer)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A folder on the path with a module that leaves a mark when it runs."""
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w').close()\nfrom vsearch.models.heads.mlp import MLPHead\n"
    (tmp_path / "strange.py").write_text(f"{code}class Mine(MLPHead): pass\n")
    (tmp_path / "strange_package").mkdir()
    (tmp_path / "strange_package" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("VSEARCH_PLUGINS", raising=False)
    for name in ("strange", "strange_package"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return mark


@pytest.mark.parametrize(
    "path",
    [
        "strange.Mine",
        "strange.Gone",
        "strange_package.inner.Mine",
        "strange",
        "antigravity.Mine",
        "vsearchstrange.Mine",
        "vsearch.serving.page.main.Mine",
        "torch.nnstrange.Mine",
        ".strange.Mine",
        "..strange.Mine",
        "",
        ["strange.Mine"],
        None,
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_no_module_runs_because_a_bundle_names_it(stranger, path, nested):
    entry = {"class_path": path, "init_args": {"dim": 8}}
    if nested:
        kind = "vsearch.models.heads.mlp.MLPHead"
        entry = {"class_path": kind, "init_args": {"dim": [{"deep": entry}]}}
    before = set(sys.modules)
    with pytest.raises(SpecError):
        build(entry, Head, nn.Module)
    assert not stranger.exists()
    assert not {"antigravity", "strange", "strange_package"} & (set(sys.modules) - before)


def test_a_module_that_the_user_vouches_for_is_taken(stranger, monkeypatch):
    entry = {"class_path": "strange.Mine", "init_args": {"dim": 8}}
    with pytest.raises(SpecError, match="--plugins strange`"):
        build(entry, Head)
    monkeypatch.setenv("VSEARCH_PLUGINS", "other, strange")
    assert type(build(entry, Head)).__name__ == "Mine"


def test_plugins_are_told_to_processes_that_are_started(monkeypatch):
    monkeypatch.setenv("VSEARCH_PLUGINS", "one")
    trust(["two", "one", "vsearch.indexes.faiss", ""])
    assert os.environ["VSEARCH_PLUGINS"] == "one,two"


def test_plugins_are_the_modules_outside_of_vsearch_and_torch():
    manifest = {
        "backbone": {
            "class_path": "mine.nets.Net",
            "init_args": {"blocks": [{"class_path": "torch.nn.ReLU"}, {"class_path": "also.One"}]},
        },
        "index": {"class_path": "vsearch.indexes.exact.ExactIndex", "spec": "Flat"},
        "head": None,
    }
    assert plugins_of(manifest) == ["also", "mine.nets"]
    assert plugins_of({}) == []
