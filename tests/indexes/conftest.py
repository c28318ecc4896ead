import os
from collections.abc import Iterator

import pytest
from indexes.index_makers import ENGINES, MILVUS, Engine, engine, postgres


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture(scope="session")
def lite_url(tmp_path_factory) -> str:
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed: uv sync")
    return f"milvus://{tmp_path_factory.mktemp('lite')}/lite.db/{{}}"


@pytest.fixture(scope="session", params=ENGINES)
def session_engine(request) -> Engine:
    kind, urls = request.param, {}
    if kind.startswith("pgvector"):
        urls["pgvector"] = request.getfixturevalue("postgres_url")
    elif kind == "milvus-lite":
        urls[kind] = request.getfixturevalue("lite_url")
    elif kind == "milvus":
        if MILVUS not in os.environ:
            pytest.skip(f"no Milvus server: set {MILVUS}=host:19530, or see docs/vector-stores.md")
        urls[kind] = f"milvus://{os.environ[MILVUS]}/{{}}"
    return engine(kind, urls)


@pytest.fixture
def engine_(session_engine: Engine) -> Iterator[Engine]:
    yield session_engine
    session_engine.clean()
