"""Requests per second and latencies of the service under load, and of a plain FastAPI handler, in
one run.

    python -m benchmarks.serve_load BUNDLE PHOTO [PHOTO ...] [--clients 1 8 64] [--seconds 5]
        [--rounds 3] [--threads 1]

Each server runs alone in a separate process at a loopback port, with PyTorch's default number of
threads or `--threads` (on a busy machine two threads that wait for each other are slower than one);
they take turns in each round. Clients are threads of this process, each with one connection,
sending the next photo when the answer arrives. The plain handler (`plain_service.py`) is as in
tutorials: decode, embed and search in an `async def`. vsearch runs with its defaults (the bundle's
quickest runtime, photos in batches, bfloat16 if the CPU has it), and without batches or bfloat16.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np

SERVERS = {
    "plain handler": None,
    "vsearch": [],
    "vsearch, PyTorch": ["--runtime", "torch"],
    "vsearch, one by one": ["--max-batch", "1"],
    "vsearch, float32": ["--precision", "float32"],
}
Load = tuple[
    list[float], float, int
]  # seconds of each answer, seconds in all, how many were not 200


@contextmanager
def running(bundle: Path, flags: list[str] | None) -> Iterator[tuple[str, int]]:
    """Start a server; yield its address and its process's number once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    plain = [sys.executable, "-m", "benchmarks.plain_service", port]
    ours = [
        sys.executable,
        "-m",
        "vsearch",
        "serve",
        str(bundle),
        "--port",
        port,
        "--log-level",
        "WARNING",
    ]
    command = plain if flags is None else [*ours, *flags]
    process = subprocess.Popen(command, env={**os.environ, "BUNDLE": str(bundle)})
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx.get(f"{url}/docs", timeout=1)
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    sys.exit("a server did not start")
                time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


def load(url: str, photos: list[bytes], clients: int, seconds: float) -> Load:
    """Let several clients send photos for some seconds, once each has had an answer to warm up."""
    starts: list[float] = []
    barrier = threading.Barrier(clients, lambda: starts.append(time.perf_counter()))

    def client(number: int) -> tuple[list[float], int]:
        took, failed, own = (
            [],
            0,
            cycle(photos[number % len(photos) :] + photos[: number % len(photos)]),
        )
        with httpx.Client(timeout=60, trust_env=False) as http:
            http.post(f"{url}/v1/search/upload", files={"photo": ("a", next(own))})
            barrier.wait()
            while time.perf_counter() < starts[0] + seconds:
                start = time.perf_counter()
                try:
                    reply = http.post(f"{url}/v1/search/upload", files={"photo": ("a", next(own))})
                    failed += reply.status_code != 200
                except httpx.TransportError:  # a minute without an answer, too
                    failed += 1
                took.append(time.perf_counter() - start)
        return took, failed

    with ThreadPoolExecutor(clients) as threads:
        answers = list(threads.map(client, range(clients)))
    took = [one for times, _ in answers for one in times]
    return took, time.perf_counter() - starts[0], sum(failed for _, failed in answers)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    photos = [path.read_bytes() for path in args.photos]
    loads: dict[tuple[str, int], list[Load]] = {}
    for _ in range(args.rounds):
        for name, flags in SERVERS.items():
            with running(args.bundle, flags) as (url, _):
                for clients in args.clients:
                    loads.setdefault((name, clients), []).append(
                        load(url, photos, clients, args.seconds)
                    )
    print(
        "| clients | server | requests/s | p50 ms | p99 ms | failed |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for clients in args.clients:
        for name in SERVERS:
            rounds = loads[name, clients]
            rate = statistics.median(len(took) / seconds for took, seconds, _ in rounds)
            p50, p99 = (
                statistics.median(float(np.percentile(took, q)) * 1000 for took, _, _ in rounds)
                for q in (50, 99)
            )
            failed = sum(count for _, _, count in rounds)
            print(f"| {clients} | {name} | {rate:.1f} | {p50:.0f} | {p99:.0f} | {failed} |")


if __name__ == "__main__":
    main()
