"""A service and a page of it, as processes, for a browser."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """`python -m vsearch ...` that answers at a path once it is up; `with` ends it."""

    def __init__(self, *words: str, port: int, path: str) -> None:
        self.words, self.url, self.path = (
            [*words, "--port", str(port)],
            f"http://127.0.0.1:{port}",
            path,
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", "vsearch", *self.words], env=env)

    def wait(self) -> None:
        for _ in range(300):
            assert self.process is not None
            assert self.process.poll() is None, f"{self.words} ended with {self.process.returncode}"
            try:
                if httpx.get(self.url + self.path, timeout=1).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{self.words} is not up after 60 s")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None


def service(bundle: Path, port: int, *flags: str) -> Process:
    return Process("serve", str(bundle), *flags, port=port, path="/readyz")


def page(service_url: str, *flags: str) -> Process:
    return Process("ui", "--service", service_url, *flags, port=free_port(), path="/_stcore/health")
