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

GRACE_S = 10  # that a process gets to end by itself


@contextmanager
def alone(folder: Path) -> Iterator[IO[bytes]]:
    """Lock a study's folder, and make it if necessary; `fit` takes the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(
                f"another study, or the last run of a killed one, is using {folder}."
            ) from error
        yield lock


def fit(job: Job, lock: IO[bytes]) -> int:
    """Fit in a separate process, from the last checkpoint if any; return its exit status.

    Its output is appended to the job's log. An interrupt ends it and all its loaders. If this
    process is killed, the other continues, and holds the lock until it ends.
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
    """End a process and all that it started, unless it has already ended."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, wish)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
