import re
from pathlib import Path

import torch
from project import Project

from vsearch.bundle.opening import open_bundle

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_plugin_shown_is_a_backbone_that_runs_and_can_be_bundled(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "readme_plugins.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from readme_plugins import SmallNet

    backbone = SmallNet(dim=32)
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    assert backbone.spec() == {"class_path": "readme_plugins.SmallNet", "init_args": {"dim": 32}}
    words = ["--model.backbone", "readme_plugins.SmallNet", "--model.backbone.init_args.dim", "32"]
    run = Project(tmp_path).run("fit", *words, "--trainer.max_epochs", "1")
    assert isinstance(open_bundle(run / "bundle").runtime.network.backbone, SmallNet)
