import errno
import os

import pytest
import torch

from vsearch.training.whole_checkpoints import WholeCheckpoints


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoints" / "best.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 0}, path)
    return path


def epoch(path) -> int:
    return WholeCheckpoints().load_checkpoint(path)["epoch"]


def test_a_checkpoint_takes_the_place_of_the_one_before(checkpoint):
    WholeCheckpoints().save_checkpoint({"epoch": 1}, str(checkpoint))
    assert epoch(checkpoint) == 1
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_a_full_disk_leaves_the_one_before(checkpoint, monkeypatch):
    def full(_: object, file) -> None:
        file.write(b"PK half a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        WholeCheckpoints().save_checkpoint({"epoch": 1}, checkpoint)
    assert epoch(checkpoint) == 0
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_until_the_new_one_is_whole_and_on_disk_the_old_one_stands(checkpoint, monkeypatch):
    steps = []
    sync = os.fsync
    rename = os.rename

    def note_sync(handle: int) -> None:
        steps.append("synced")
        sync(handle)

    def note_rename(made, path) -> None:
        steps.append("renamed")
        assert (epoch(made), epoch(path)) == (1, 0)
        assert made.stat().st_dev == path.stat().st_dev
        rename(made, path)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    WholeCheckpoints().save_checkpoint({"epoch": 1}, checkpoint)
    assert steps == ["synced", "renamed", "synced"]  # the file, then its folder


def test_an_object_store_gets_what_lightning_writes():
    WholeCheckpoints().save_checkpoint({"epoch": 2}, "memory://run/best.ckpt")
    assert epoch("memory://run/best.ckpt") == 2
