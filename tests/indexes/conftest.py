import os
from collections.abc import Iterator

import pytest
from indexes.index_makers import KINDS_OF_INDEX, MILVUS, IndexMaker, index_maker, postgres


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture(scope="session")
def lite_url(tmp_path_factory) -> str:
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed: uv sync --group dev")
    return f"milvus://{tmp_path_factory.mktemp('lite')}/lite.db/{{}}"


@pytest.fixture(scope="session", params=KINDS_OF_INDEX)
def session_maker(request) -> IndexMaker:
    kind, urls = request.param, {}
    if kind.startswith("pgvector"):
        urls["pgvector"] = request.getfixturevalue("postgres_url")
    elif kind == "milvus-lite":
        urls[kind] = request.getfixturevalue("lite_url")
    elif kind == "milvus":
        if MILVUS not in os.environ:
            pytest.skip(f"no Milvus server: set {MILVUS}=host:19530, or see docs/vector-stores.md")
        urls[kind] = f"milvus://{os.environ[MILVUS]}/{{}}"
    return index_maker(kind, urls)


@pytest.fixture
def maker(session_maker: IndexMaker) -> Iterator[IndexMaker]:
    yield session_maker
    session_maker.clean()
