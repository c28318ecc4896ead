import subprocess
import sys
from pathlib import Path

import pytest

JOINED = """
from vsearch.cli.callbacks_path import join_callbacks
join_callbacks()
join_callbacks()
from importlib.util import find_spec
print(find_spec("callbacks.build_index").origin)
"""
ROOT = Path(__file__).parents[2]


def ran(folder: Path, code: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)


def told(folder: Path, code: str) -> list[str]:
    done = ran(folder, code)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_one_that_hides_vsearchs_is_warned_of(tmp_path):
    (tmp_path / "callbacks").mkdir()
    mine = tmp_path / "callbacks" / "build_index.py"
    mine.write_text("")
    done = ran(tmp_path, JOINED)
    assert done.stdout.splitlines() == [str(mine)]
    assert f"{mine} replaces vsearch's module: rename it" in done.stderr


def test_without_ones_own_vsearchs_callbacks_are_found(tmp_path):
    assert told(tmp_path, JOINED) == [str(ROOT / "callbacks" / "build_index.py")]


@pytest.mark.parametrize("package", [True, False], ids=["with __init__", "without __init__"])
def test_a_folder_of_ones_own_is_found_beside_vsearchs(tmp_path, package):
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks" / "mine.py").write_text("name = 'mine'")
    if package:
        (tmp_path / "callbacks" / "__init__.py").write_text("")
    found = told(tmp_path, JOINED + "from callbacks.mine import name; print(name)")
    assert found == [str(ROOT / "callbacks" / "build_index.py"), "mine"]


def test_a_file_of_ones_own_is_found_beside_vsearchs(tmp_path):
    (tmp_path / "callbacks.py").write_text("name = 'mine'")
    found = told(tmp_path, JOINED + "from callbacks import name; print(name)")
    assert found == [str(ROOT / "callbacks" / "build_index.py"), "mine"]
