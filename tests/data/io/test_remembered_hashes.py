import json
import os
import time
from pathlib import Path

import pytest

from vsearch.data.io import remembered_hashes
from vsearch.data.io.atomic import sha256
from vsearch.data.io.remembered_hashes import LARGE, sha256_once


@pytest.fixture
def reads(monkeypatch, tmp_path) -> list[Path]:
    """Which files were read whole; what is remembered lies in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered_hashes, "SETTLED_S", 0)
    read = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(remembered_hashes, "sha256", counted)
    return read


@pytest.fixture
def large(tmp_path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(b"a" * LARGE)
    return path


def test_a_large_file_is_read_once(reads, large):
    assert sha256_once(large) == sha256_once(large) == sha256(large)
    assert reads == [large]


def test_a_changed_file_is_read_again_though_length_and_time_are_the_same(reads, large):
    before = large.stat()
    sha256_once(large)
    time.sleep(0.02)  # a file system's clock is coarse
    with large.open("r+b") as file:
        file.write(b"b")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sha256_once(large) == sha256(large)
    assert len(reads) == 2


def test_a_small_file_is_read_each_time(reads, tmp_path):
    (tmp_path / "small").write_bytes(b"a")
    sha256_once(tmp_path / "small")
    sha256_once(tmp_path / "small")
    assert len(reads) == 2


def test_what_changed_just_now_is_not_remembered(reads, large, monkeypatch):
    monkeypatch.setattr(remembered_hashes, "SETTLED_S", 60)
    sha256_once(large)
    sha256_once(large)
    assert len(reads) == 2


@pytest.mark.parametrize("kept", ["", "[]", "no JSON", '{"1"'])
def test_a_damaged_memory_is_made_anew(reads, large, tmp_path, kept):
    file = tmp_path / "cache" / "vsearch" / "hashes.json"
    file.parent.mkdir(parents=True)
    file.write_text(kept)
    assert sha256_once(large) == sha256(large)
    assert list(json.loads(file.read_text()).values()) == [sha256(large)]


def test_without_a_place_to_remember_files_are_read_each_time(reads, large, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert sha256_once(large) == sha256_once(large) == sha256(large)
    assert len(reads) == 2
