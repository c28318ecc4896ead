import os
import time
from pathlib import Path

import pytest

from vsearch.data.io.atomic import LEFT_AFTER_S, replace_file, scratch_folder


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "study.md"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_scratch_folder_is_on_the_same_disk_and_goes_whatever_happens(tmp_path):
    target = tmp_path / "runs" / "bundle"

    def fail() -> None:
        with scratch_folder(target) as scratch:
            assert scratch.parent == target.parent
            (scratch / "half").write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(target.parent.iterdir()) == []


def test_what_another_process_has_just_taken_away_is_no_error(tmp_path, monkeypatch):
    gone = tmp_path / ".making-bundle-gone"
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter([gone]))
    with scratch_folder(tmp_path / "bundle") as scratch:
        assert scratch.is_dir()


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    for name, age in (("old", LEFT_AFTER_S + 60), ("young", LEFT_AFTER_S - 60)):
        left = tmp_path / f".making-bundle-{name}"
        left.mkdir()
        (left / "model").write_bytes(b"half")
        os.utime(left, (time.time() - age, time.time() - age))
    with scratch_folder(tmp_path / "bundle"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".making-bundle-young"]
