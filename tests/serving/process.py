import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


class Process:
    """`python -m vsearch serve` at a free port of its own."""

    def __init__(self, bundle: Path, *flags: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.bundle = bundle
        self.log = bundle.parent / f"log-{self.port}.txt"
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])  # of the tests' own backbone
        with self.log.open("wb") as log:
            self.running = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "vsearch",
                    "serve",
                    str(bundle),
                    "--port",
                    str(self.port),
                    *flags,
                ],
                env={
                    **os.environ,
                    "PYTHONPATH": paths,
                    "VSEARCH_PRECISION": "float32",
                    **environment,
                },
                stdout=log,
                stderr=log,
                cwd=bundle.parent,
            )
        self.url = f"http://127.0.0.1:{self.port}"
        # a connection for each request; a client for each would read the certificates anew
        self.client = httpx.Client(
            base_url=self.url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def ready(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.running.poll() is None:
            try:
                if self.client.get("/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def connect(self, data: bytes) -> socket.socket:
        """Open a connection, send something, and leave it so."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        opened.sendall(data)
        return opened

    def listens(self) -> bool:
        """Whether new connections are taken."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self, ending: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the seconds until the process ended."""
        start = time.monotonic()
        self.running.send_signal(ending)
        self.running.wait(60)
        return time.monotonic() - start


@contextmanager
def serving(bundle: Path, *flags: str, **environment: str) -> Iterator[Process]:
    process = Process(bundle, *flags, **environment)
    try:
        process.ready()
        yield process
    finally:
        if process.running.poll() is None:
            process.running.kill()
            process.running.wait()


def read(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
