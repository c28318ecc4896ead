import shutil
import sys
from itertools import count
from pathlib import Path

import pytest
from project import Project

from benchmarks.battery import __main__ as battery
from benchmarks.battery import damage, ground


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("battery")
    Project(folder).run("fit")
    return folder


@pytest.fixture
def ended(fitted, monkeypatch, capsys):
    """Run the battery; return its exit status and what it printed."""

    def fit(folder: Path) -> Path:
        shutil.copytree(fitted, folder, dirs_exist_ok=True)
        return folder / "lightning_logs" / "version_0"

    monkeypatch.setattr(ground, "fit", fit)
    monkeypatch.setattr(ground, "settle", lambda: None)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["battery", "--seed", "0", *words])
        with pytest.raises(SystemExit) as end:
            battery.main()
        return end.value.code, capsys.readouterr().out

    return run


def test_damage_is_refused_or_does_no_harm_and_a_fault_is_told(ended, monkeypatch):
    status, printed = ended("--only", "damage", "--tries", "12")
    assert status == 0, printed
    assert "x refused" in printed

    answers = map(str, count())
    monkeypatch.setattr(damage, "numbers", lambda bundle: next(answers))
    status, printed = ended("--only", "damage", "--tries", "3")
    assert status == 1
    assert "damage: another answer: python -c " in printed
    assert printed.count("python -m vsearch report RUN") == 1


def test_an_unknown_kind_is_refused(ended, capsys):
    assert ended("--only", "floods")[0] == 2
