import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small import content, fitted, put_in, take_out

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.verify import verify

HERE = Path(__file__).parent
# name -> operation, call, which of its several, just before or after it, and what is in force then
POINTS = {
    "a change is written, not synced": ("add", "fsync", 1, False, "old"),
    "a change's files are synced, some": ("add", "fsync", 3, False, "old"),
    "a change is synced, not there": ("add", "rename", 1, False, "old"),
    "a change is there, not in force": ("add", "rename", 1, True, "old"),
    "the state is written, not in force": ("add", "rename", 2, False, "old"),
    "the state is in force, not acknowledged": ("add", "rename", 2, True, "new"),
    "a removal is there, not in force": ("remove", "rename", 1, True, "old"),
    "a generation is written, not synced": ("fold", "fsync", 1, False, "old"),
    "a generation is synced, not there": ("fold", "rename", 1, False, "old"),
    "a generation is there, not in force": ("optimize", "rename", 1, True, "old"),
    "a generation is in force, nothing pruned": ("fold", "rename", 2, True, "new"),
    "half is pruned": ("optimize", "rmtree", 1, False, "new"),
}
FILES = 5  # of a step that syncs several


class Server:
    """The process that runs operations and has them killed."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        settings = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE / "kill_server.py")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=settings
        )

    def run(
        self, bundle: Path, operation: str, call: str = "", nth: int = 0, after: bool = False
    ) -> dict:
        order = {
            "bundle": str(bundle),
            "operation": operation,
            "call": call,
            "nth": nth,
            "after": after,
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.process.stdin.close()
    made.process.wait(30)


@pytest.fixture(scope="module")
def pending(tmp_path_factory) -> Path:
    """A bundle with a generation before the one in force, and changes on top."""
    bundle = fitted(tmp_path_factory.mktemp("killed") / "bundle")
    from kill_server import fold_now

    put_in(bundle, 40, 3)
    fold_now(bundle)
    take_out(bundle, "p7")
    fold_now(bundle)
    put_in(bundle, 50, 2, seed=3)
    take_out(bundle, "p40", "p50")
    return bundle


def state_of(bundle: Path) -> dict[str, bytes]:
    return content(open_live(bundle))


def whole(bundle: Path, operation: str, server: Server) -> Path:
    """The bundle after an operation that nobody kills."""
    made = bundle.with_name(f"whole-{operation}")
    if not made.exists():
        shutil.copytree(bundle, made)
        assert server.run(made, operation) == {"status": 0, "acknowledged": True}
    return made


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_the_old_or_the_new(point, pending, server, tmp_path):
    operation, call, nth, after, expected = POINTS[point]
    ends = {"old": pending, "new": whole(pending, operation, server)}
    wanted, generation = state_of(ends[expected]), open_live(ends[expected]).state.generation
    for number in range(nth, nth + (FILES if call == "fsync" else 1)):
        bundle = tmp_path / str(number)
        shutil.copytree(pending, bundle)
        answer = server.run(bundle, operation, call, number, after)
        assert answer == {"status": -signal.SIGKILL, "acknowledged": False}
        assert state_of(bundle) == wanted
        assert open_live(bundle).state.generation == generation
        assert server.run(bundle, "remove") == {
            "status": 0,
            "acknowledged": True,
        }  # the next change finds no obstacle
        assert state_of(bundle) == {id: own for id, own in wanted.items() if id not in ("p0", "p1")}
        assert not list(bundle.rglob(".making-*"))
        assert list(verify(bundle))


def test_every_call_of_an_add_is_survived(pending, server, tmp_path):
    before, done = state_of(pending), state_of(whole(pending, "add", server))
    seen = []
    for call in ("fsync", "rename"):
        for number in range(1, 30):
            bundle = tmp_path / f"{call}{number}"
            shutil.copytree(pending, bundle)
            answer = server.run(bundle, "add", call, number, True)
            now = state_of(bundle)
            assert now in (before, done)
            if answer["acknowledged"]:
                assert answer["status"] == 0
                assert now == done
                break
            seen.append((call, number))
    assert len(seen) >= 8
