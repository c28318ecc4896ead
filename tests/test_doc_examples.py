import json
import re
from pathlib import Path

import pytest
from project import Project

from vsearch.cli.main import main

ROOT = Path(__file__).parents[1]
TEXTS = {path.name: path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}


def blocks(page, language):
    """Return the code of a page that is marked as being of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXTS[page], re.S)


SETTINGS = [
    code
    for page in sorted(TEXTS)
    for code in blocks(page, "yaml")
    if code.startswith(("trainer:", "index:"))
]


@pytest.mark.parametrize("code", SETTINGS, ids=range(len(SETTINGS)))
def test_the_settings_shown_are_understood(code, tmp_path):
    overlay = tmp_path / "shown.yaml"
    overlay.write_text(code)
    words = ["--config", str(ROOT / "configs" / "triplet.yaml"), "--config", str(overlay)]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *words, "--print_config"])
    assert not ended.value.code


def test_loggers_and_an_index_are_among_them():
    assert any("WandbLogger" in code for code in SETTINGS)
    assert any("FaissIndex" in code for code in SETTINGS)


def test_the_plugins_shown_train_and_search(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_plugins.py").write_text("\n".join(blocks("plugins.md", "python")))
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--model.loss", "my_plugins.CosineGap", "--model.miner", "null"]
    words += ["--index", "my_plugins.PlainIndex", "--trainer.max_epochs", "1"]
    run = Project(tmp_path).run("fit", *words)
    photo = next((tmp_path / "colours").rglob("*.png"))
    capsys.readouterr()
    main(["search", str(run / "bundle"), str(photo), "--plugins", "my_plugins,tiny", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["hits"]) == 10


@pytest.mark.parametrize("page", sorted(TEXTS))
def test_the_configs_named_exist(page):
    for name in re.findall(r"configs/[\w/]+\.yaml", TEXTS[page]):
        if "NAME" not in name:
            assert (ROOT / name).is_file(), name


def test_every_overlay_is_in_the_manual():
    for path in (ROOT / "configs").rglob("*.yaml"):
        names = {f"`{path.name}`", f"`{path.parent.name}/{path.name}`"}
        assert any(name in TEXTS["configuration.md"] for name in names), path
