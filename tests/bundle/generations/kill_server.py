"""Run a bundle's changes in processes that are killed at one of their calls to the system.

Reads lines of JSON: {"bundle", "operation", "call", "nth"}. For each, a forked process does the
operation, and kills itself just before the nth time it calls `os.CALL`, or just after, with what
was never fsynced cut to half, as a power cut would. Answers each with a line of JSON: {"status",
"acknowledged"}.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet  # noqa: F401
import small

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.rebuild import fold, rebuild
from vsearch.bundle.generations.writer_lock import writing


def fold_now(bundle: Path) -> None:
    with writing(bundle):
        fold(open_live(bundle))


def optimize(bundle: Path) -> None:
    with writing(bundle):
        live = open_live(bundle)
        rebuild(live, live.index, "optimize")


OPERATIONS = {
    "add": lambda bundle: small.put_in(bundle, 100, 5, seed=2),
    "remove": lambda bundle: small.take_out(bundle, "p0", "p1"),
    "fold": fold_now,
    "optimize": optimize,
}


def watch(bundle: Path, call: str, nth: int, after: bool) -> None:
    """Have this process kill itself at the nth `os.call` (or `shutil.call`)."""
    there = set(bundle.rglob("*"))
    synced: set[tuple[int, int]] = set()
    module = shutil if call == "rmtree" else os
    calls = {"fsync": os.fsync, call: getattr(module, call)}
    counted = 0

    def die() -> None:
        for path in bundle.rglob("*"):
            state = path.stat()
            if path.is_file() and path not in there and (state.st_dev, state.st_ino) not in synced:
                os.truncate(path, state.st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str):
        def run(*args, **kwargs):
            nonlocal counted
            if name == call:
                counted += 1
                if counted == nth and not after:
                    die()
            done = calls[name](*args, **kwargs)
            if name == "fsync":
                state = os.fstat(args[0])
                synced.add((state.st_dev, state.st_ino))
            if name == call and counted == nth and after:
                die()
            return done

        return run

    os.fsync = wrapped("fsync")
    setattr(module, call, wrapped(call))


def child(order: dict, pipe: int) -> None:
    bundle = Path(order["bundle"])
    if order["call"]:
        watch(bundle, order["call"], order["nth"], order["after"])
    OPERATIONS[order["operation"]](bundle)
    os.write(pipe, b"done")


def answer(order: dict) -> dict:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(order, write)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    os.close(write)
    said = os.read(read, 10)
    os.close(read)
    return {
        "status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]),
        "acknowledged": said == b"done",
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
