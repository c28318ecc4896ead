"""Jobs in pairs of processes. As a program: pair.py FOLDER NAME,NAME... NAME,NAME... runs one pair
after the other.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parent
LIMIT_S = 600  # seconds take minutes where much else runs
STATUSES = "statuses.json"


def run_pairs(folder: Path, *groups: list[str]) -> tuple[list[list[int]], str]:
    """Run groups of jobs (see jobs.py), each by two ranks of a gloo group; return their statuses,
    and what they print.

    Libraries are imported once, by the process that all ranks are forked from.
    """
    words = [sys.executable, __file__, str(folder), *(",".join(names) for names in groups)]
    paths = os.pathsep.join([str(TESTS / "training"), str(TESTS), str(ROOT)])
    shared = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = subprocess.Popen(words, env=shared, start_new_session=True, **pipes)
    try:
        text = started.communicate(timeout=LIMIT_S)[0]
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 0, text
    return json.loads((folder / STATUSES).read_text()), text


def fork(folder: Path, names: list[str], port: int, rank: int) -> int:
    """Run jobs in a new process, as a rank; return its number. What they return lies beside their
    folders.
    """
    if pid := os.fork():
        return pid
    status = 1
    try:
        place = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": "2",
            "NODE_RANK": "0",
        }
        os.environ.update(place | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for name in names:
            torch.save(JOBS[name](folder / name, 2), folder / f"{name}-{rank}.pt")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    import torch
    from distributed.jobs import JOBS

    sys.modules["pacmap"] = None  # it takes half a minute to start
    root, statuses = Path(sys.argv[1]), []
    for group in sys.argv[2:]:
        port = free_port()
        pids = [fork(root, group.split(","), port, rank) for rank in range(2)]
        statuses.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
    (root / STATUSES).write_text(json.dumps(statuses))
