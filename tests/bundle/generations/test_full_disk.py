import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kill_server import OPERATIONS
from small import content, fitted, put_in, take_out

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.rollback import rollback
from vsearch.bundle.generations.verify import verify
from vsearch.bundle.generations.writer_lock import writing


def undo(bundle: Path) -> None:
    with writing(bundle):
        rollback(bundle)


ALL = {**OPERATIONS, "rollback": undo}


@pytest.fixture
def made(tmp_path) -> Path:
    bundle = fitted(tmp_path / "bundle", factory="SQ8")
    put_in(bundle, 40, 30)
    OPERATIONS["optimize"](bundle)
    put_in(bundle, 80, 2, seed=3)
    take_out(bundle, "p3", "p41")
    return bundle


def state_of(bundle: Path) -> tuple[int, dict[str, bytes]]:
    live = open_live(bundle)
    return live.state.generation, content(live)


def full(operation: Callable[[Path], object], bundle: Path) -> bool:
    """Do it, and tell whether the disk was too full."""
    try:
        operation(bundle)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True
    return False


class FullDisk:
    """Has one of `os.mkdir`, `os.fsync`, `os.rename` fail at its nth call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, nth: int) -> None:
        self.real, self.call, self.left = getattr(os, call), call, nth
        monkeypatch.setattr(os, call, self.run)

    def run(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize("call", ["mkdir", "fsync", "rename"])
def test_a_call_that_fails_leaves_the_old_or_the_new_and_no_leftovers(
    made, monkeypatch, tmp_path, operation, call
):
    before, failed = state_of(made), 0
    ALL[operation](shutil.copytree(made, tmp_path / "whole"))
    done = state_of(tmp_path / "whole")
    for number in range(1, 30):
        bundle = shutil.copytree(made, tmp_path / str(number))
        with monkeypatch.context() as patched:
            disk = FullDisk(patched, call, number)
            refused = full(ALL[operation], bundle)
        assert (
            not list(bundle.rglob(".making-*")) or call == "rename"
        )  # a rename that fails while it prunes
        if disk.left > 0:
            assert not refused
            assert state_of(bundle) == done
            break
        assert refused or call == "mkdir"  # a folder that is there needs no making
        failed += 1
        assert state_of(bundle) in (before, done)
        if state_of(bundle) == before:
            ALL[operation](bundle)
            assert state_of(bundle)[1] == done[1]
        assert list(verify(bundle))
    assert failed or (call, operation) == ("mkdir", "rollback")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("operation", ["add", "remove", "fold", "optimize"])
def test_a_disk_that_is_really_full(made, small_disk, operation):
    bundle, ballast = shutil.copytree(made, small_disk / "bundle"), small_disk / "ballast"
    before, failed = state_of(bundle), 0
    for pages in range(40):
        ballast.write_bytes(b"")
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"\0" * max(0, free - pages * 4096))
        if not full(OPERATIONS[operation], bundle):
            break
        failed += 1
        assert state_of(bundle) == before
        assert not list(bundle.rglob(".making-*"))
    assert failed >= 2
    assert state_of(bundle) != before
    assert list(verify(bundle))
