import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vsearch.evaluation.studies.jobs import Job
from vsearch.evaluation.studies.study import StudyError

GRACE_S = 10  # for a process to end by itself


@contextmanager
def alone(folder: Path) -> Iterator[IO[bytes]]:
    """Lock a study's folder, made if need be; `fit` takes the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(
                f"another study is at work in {folder}, or the last run of one that was killed."
            ) from error
        yield lock


def fit(job: Job, lock: IO[bytes]) -> int:
    """Fit in a process of its own, from the last checkpoint if any; return its exit status.

    Its output is appended to the job's log. An interrupt ends it with all its loaders. If this
    process is killed, the other runs on, and holds the lock until its end.
    """
    checkpoint = job.checkpoint()
    words = [*job.words, *(["--ckpt_path", str(checkpoint)] if checkpoint else [])]
    job.begin()
    with job.log.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "vsearch", "fit", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group, to end it with its loaders
            pass_fds=[lock.fileno()],
        )
        try:
            return child.wait()
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, unless it has ended."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, wish)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
