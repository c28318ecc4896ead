import re
from pathlib import Path

import torch

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_plugin_shown_is_a_backbone_that_runs_and_can_be_bundled(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "readme_plugins.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from readme_plugins import SmallNet

    backbone = SmallNet(dim=32)
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    assert backbone.spec() == {"class_path": "readme_plugins.SmallNet", "init_args": {"dim": 32}}


def test_the_configs_it_names_exist():
    names = set(re.findall(r"configs/[\w/]+\.yaml", README))
    assert "configs/triplet.yaml" in names
    for name in names:
        assert (Path(__file__).parent.parent / name).is_file(), name
