import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vsearch.evaluation.studies import processes
from vsearch.evaluation.studies.jobs import Job
from vsearch.evaluation.studies.processes import alone, fit
from vsearch.evaluation.studies.study import StudyError


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(
        "plain", 0, tmp_path / "plain" / "seed-0", ["--config", "a b.yaml"], {"seed_everything": 0}
    )


def stand_in(tmp_path: Path, monkeypatch, script: str) -> None:
    """Let a shell script run in the place of Python."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(path))


def test_a_fit_gets_the_jobs_words_and_its_output_goes_to_the_log(job, tmp_path, monkeypatch):
    stand_in(
        tmp_path,
        monkeypatch,
        'test -f plain/seed-0/cell.json && echo "$#: $*"; echo oh >&2; exit 3',
    )
    monkeypatch.chdir(tmp_path)
    with alone(tmp_path) as lock:
        assert fit(job, lock) == 3
        assert job.log.read_text() == "5: -m vsearch fit --config a b.yaml\noh\n"
        last = job.folder / "version_0" / "checkpoints" / "last.ckpt"
        last.parent.mkdir(parents=True)
        last.touch()
        fit(job, lock)
    assert (
        job.log.read_text().splitlines()[2]
        == f"7: -m vsearch fit --config a b.yaml --ckpt_path {last}"
    )


def gone(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True  # ended; nobody has asked for its status
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("deaf", [False, True], ids=["SIGTERM is enough", "SIGKILL is needed"])
def test_an_interrupt_ends_the_fit_and_what_it_started(job, tmp_path, monkeypatch, deaf):
    pids = tmp_path / "pids"
    trap = "trap '' TERM; " if deaf else ""
    stand_in(
        tmp_path,
        monkeypatch,
        f"{trap}sleep 60 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait",
    )
    monkeypatch.setattr(processes, "GRACE_S", 0.3)

    def interrupt(*_: object) -> None:
        if not pids.exists():
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with alone(tmp_path) as lock, pytest.raises(KeyboardInterrupt):
            fit(job, lock)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [gone(int(pid)) for pid in pids.read_text().split()] == [True, True]


def test_two_studies_cannot_share_a_folder(tmp_path):
    with alone(tmp_path / "a"):
        with alone(tmp_path / "b"):
            pass
        with (
            pytest.raises(StudyError, match=r"another study, or the last run .* is using .*a"),
            alone(tmp_path / "a"),
        ):
            pass
    with alone(tmp_path / "a"):
        pass


def test_a_run_that_outlives_its_study_holds_the_folder(tmp_path):
    with alone(tmp_path) as lock:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]
        )
    try:
        with pytest.raises(StudyError, match="is using"), alone(tmp_path):
            pass
    finally:
        orphan.communicate(b"\n")
    with alone(tmp_path):
        pass
