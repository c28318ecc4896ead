"""Time and memory of a search from the shell and of a service's start, in several checkouts, in one
run.

    python -m benchmarks.start_up CHECKOUT:BUNDLE [CHECKOUT:BUNDLE ...] --photos PHOTO [PHOTO ...]
        [--rounds 5] [--clients 8] [--seconds 10]

Each checkout needs its own `.venv` and a bundle that it can open; `.:BUNDLE` is this one. They take
turns in each round, each command in a separate process, with warm files. Memory is resident: the
process's peak (search), or once the service has answered (service). The service runs with its
defaults. The last column is the service's answers per second to `--clients` clients.
"""

import argparse
import os
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.memory import kib
from benchmarks.serve_load import load

TRIES = 600  # of a service to get ready, a tenth of a second apart


@dataclass(frozen=True)
class Started:
    """One command of one checkout: seconds until it had answered, MB resident."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Side:
    """A checkout and the bundle that it opens."""

    checkout: Path
    bundle: Path

    def command(self, *words: object) -> list[str]:
        """Return a command line of this checkout's vsearch."""
        return [str(self.checkout / ".venv/bin/python"), "-m", "vsearch", *map(str, words)]


def searched(side: Side, photo: Path) -> Started:
    """Search one photo from the shell."""
    command = side.command("search", side.bundle, photo, "-k", 5)
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=side.checkout, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{side.checkout}: the search failed")
    return Started(time.perf_counter() - start, usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Served:
    """A service: until it was ready, and how many answers a second it gave."""

    ready: Started
    per_second: float


def served(side: Side, photos: list[bytes], clients: int, seconds: float) -> Served:
    """Start a service, wait until it is ready, let clients send photos, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = side.command("serve", side.bundle, "--port", port, "--log-level", "WARNING")
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=side.checkout)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(process, url)
        ready_s = time.perf_counter() - start
        httpx.post(f"{url}/v1/search/upload", files={"photo": ("a", photos[0])}, timeout=60)
        resident = kib("VmRSS", process.pid) / 1024
        took, whole, failed = load(url, photos, clients, seconds)
        if failed:
            raise SystemExit(f"{side.checkout}: {failed} requests failed")
        return Served(Started(ready_s, resident), len(took) / whole)
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    """Ask until the service says that it is ready."""
    for _ in range(TRIES):
        if process.poll() is not None:
            raise SystemExit("a service did not start")
        try:
            if httpx.get(f"{url}/readyz", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("a service never got ready")


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sides", nargs="+", metavar="CHECKOUT:BUNDLE")
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()

    sides = []
    for text in args.sides:
        checkout, _, bundle = text.partition(":")
        sides.append(Side(Path(checkout).resolve(), Path(bundle).resolve()))
    photos = [path.resolve() for path in args.photos]
    contents = [path.read_bytes() for path in photos]

    searches: dict[Side, list[Started]] = {side: [] for side in sides}
    services: dict[Side, list[Served]] = {side: [] for side in sides}
    for side in sides:
        searched(side, photos[0])  # warms the files
    for _ in range(args.rounds):
        for side in sides:
            searches[side].append(searched(side, photos[0]))
            services[side].append(served(side, contents, args.clients, args.seconds))

    print("| bundle | search, s | MB | service ready, s | MB | answers/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in sides:
        found = searches[side]
        ready = [one.ready for one in services[side]]
        cells = [
            f"{args.sides[sides.index(side)]}",
            f"{statistics.median(one.seconds for one in found):.2f}",
            f"{statistics.median(one.megabytes for one in found):.0f}",
            f"{statistics.median(one.seconds for one in ready):.2f}",
            f"{statistics.median(one.megabytes for one in ready):.0f}",
            f"{statistics.median(one.per_second for one in services[side]):.1f}",
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
