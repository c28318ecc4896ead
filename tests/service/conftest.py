import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from small_service import write_bundle

from vsearch.service import precision
from vsearch.service.app import create_app
from vsearch.service.settings import Settings


@pytest.fixture(autouse=True)
def cpu_without_bfloat16(monkeypatch) -> None:
    """The same CPU everywhere."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """One bundle for all tests that only read it."""
    return write_bundle(tmp_path_factory.mktemp("served") / "bundle")


@pytest.fixture
def served(made) -> Iterator[Callable[..., TestClient]]:
    """Start the service of a bundle, as settings say."""
    started = []

    def start(folder: Path = made, **settings: object) -> TestClient:
        client = TestClient(create_app(folder, Settings(**settings)))
        started.append(client.__enter__())
        return client

    yield start
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def client(served) -> TestClient:
    return served()


@pytest.fixture
def url(made):
    """A service that listens, in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(made, Settings()), log_level="error"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
