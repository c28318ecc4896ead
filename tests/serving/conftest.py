from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from small_service import listening, served_bundle

from vsearch.serving.api.app import create_app
from vsearch.serving.api.settings import Settings


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """One bundle for all tests that only read it."""
    return served_bundle(tmp_path_factory.mktemp("served") / "bundle")


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
    with listening(made) as address:
        yield address
