"""Servers that are away, refuse, are slow or come back; what stays of a write that was cut off."""

import socket
import time
from pathlib import Path

import numpy as np
import pytest
from indexes.index_makers import MODEL, name, postgres, unit

from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.milvus import MilvusIndex
from vsearch.indexes.pgvector import PgvectorIndex
from vsearch.indexes.vector_store import VectorStoreIndex

VECTORS = unit(50)


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["pgvector", "milvus-lite"])
def index(request) -> VectorStoreIndex:
    url = request.getfixturevalue(
        "postgres_url" if request.param == "pgvector" else "lite_url"
    ).format(name())
    return bound((PgvectorIndex if request.param == "pgvector" else MilvusIndex)(url))


def bound(index: VectorStoreIndex, model: str = MODEL) -> VectorStoreIndex:
    index.bind(model)
    return index


def again(index: VectorStoreIndex) -> VectorStoreIndex:
    return type(index)(index.url)


@pytest.mark.parametrize(
    ("kind", "scheme"), [(PgvectorIndex, "postgresql"), (MilvusIndex, "milvus")]
)
def test_a_server_that_is_not_there_is_named_without_the_password(kind, scheme, closed_port):
    place = "db/t" if scheme == "postgresql" else "t"
    away = bound(kind(f"{scheme}://me:s3cret@127.0.0.1:{closed_port}/{place}", timeout_s=1))
    with pytest.raises(
        IndexUnavailable, match=rf"{scheme}://127.0.0.1:{closed_port}/{place}: .*running there"
    ) as told:
        away.build(VECTORS)
    assert "s3cret" not in str(told.value)


def test_a_database_or_a_user_that_is_not_there(postgres_url):
    with pytest.raises(IndexUnavailable, match='database "nowhere" does not exist'):
        PgvectorIndex(postgres_url.format("t").replace("/postgres/", "/nowhere/")).check(1, 8)
    with pytest.raises(IndexUnavailable, match='role "nobody" does not exist'):
        PgvectorIndex(postgres_url.format("t").replace("///", "//nobody@/")).check(1, 8)


def test_a_wrong_password_is_refused(postgres_url):
    root = PgvectorIndex(postgres_url.format("t")).collection._server
    for told in (
        "CREATE EXTENSION IF NOT EXISTS vector",
        "CREATE ROLE shop LOGIN PASSWORD 'right'",
    ):
        root.run(lambda it, told=told: it.execute(told))
    root.run(lambda it: it.execute("GRANT ALL ON SCHEMA public TO shop"))
    access = Path(root.run(lambda it: it.execute("SHOW hba_file").fetchone()[0]))
    access.write_text(f"local all shop scram-sha-256\n{access.read_text()}")
    root.run(lambda it: it.execute("SELECT pg_reload_conf()"))
    wrong = PgvectorIndex(postgres_url.format("t").replace("///", "//shop:s3cret@/"))

    def ask_until_the_reload_has_come_through() -> None:
        for _ in range(100):
            wrong.collection._server.close()
            wrong.check(1, 8)
            time.sleep(0.1)

    with pytest.raises(IndexUnavailable, match="password authentication failed") as told:
        ask_until_the_reload_has_come_through()
    assert "s3cret" not in str(told.value)
    right = bound(PgvectorIndex(postgres_url.format(name()).replace("///", "//shop:right@/")))
    right.build(VECTORS)
    assert right.search(VECTORS[:1], 1)[1].tolist() == [[0]]


def test_a_table_that_somebody_else_made_is_left_alone(postgres_url):
    index = bound(PgvectorIndex(postgres_url.format(name())))
    index.collection._server.run(
        lambda it: it.execute(f"CREATE TABLE {index.collection._quoted} (a int)")
    )
    with pytest.raises(ValueError, match="version of vsearch: its format is None, not 1"):
        index.build(VECTORS)
    with pytest.raises(ValueError, match="exists already"):
        index.check(50, 16)


def test_vectors_of_another_model_are_refused_with_both_fingerprints(index, tmp_path):
    index.build(VECTORS)
    index.save(tmp_path)
    opened = type(index).open(tmp_path)
    for refuse in (
        lambda: opened.bind("b" * 64),
        lambda: bound(again(index), "b" * 64).build(VECTORS),
    ):
        with pytest.raises(ValueError, match=r"another (bundle, )?model") as told:
            refuse()
        assert MODEL in str(told.value)
        assert "b" * 64 in str(told.value)
    with pytest.raises(ValueError, match="no model was named"):
        again(index).build(VECTORS)
    with pytest.raises(ValueError, match="for another bundle"):
        bound(again(index)).build(VECTORS)
    assert index.collection.serials().size == 50


def test_positions_that_there_are_not_are_not_removed(index):
    index.build(VECTORS)
    for wrong in (-1, 50):
        with pytest.raises(ValueError, match=f"positions 3 to 50|positions {wrong} to 3"):
            index.remove(np.array([3, wrong]))
    assert len(index) == 50


def test_other_dimensions_are_refused(index):
    index.build(VECTORS)
    for refuse in (index.add, lambda vectors: index.search(vectors, 3)):
        with pytest.raises(ValueError, match="16 dimensions"):
            refuse(unit(3, 8))
    with pytest.raises(ValueError, match="its dim is 16, not 8"):
        index.build(unit(3, 8))
    with pytest.raises(ValueError, match="finite"):
        index.search(np.full((1, 16), np.nan, np.float32), 3)


def test_a_save_that_failed_is_made_again_and_its_rows_are_vacuumed(index, tmp_path, monkeypatch):
    index.build(VECTORS)
    index.add(unit(10, seed=1))
    settle = type(index.collection).settle

    def fails(self, first: int, last: int) -> None:
        raise IndexUnavailable("gone")

    monkeypatch.setattr(type(index.collection), "settle", fails)
    with pytest.raises(IndexUnavailable):
        index.save(tmp_path)
    monkeypatch.setattr(type(index.collection), "settle", settle)
    index.save(tmp_path)
    opened = type(index).open(tmp_path)
    assert opened.search(unit(10, seed=1), 2)[1][:, 0].tolist() == [*range(50, 60)]
    assert opened.vacuum([]) == 10
    assert len(opened.collection.serials()) == 60
    assert opened.search(unit(10, seed=1), 1)[1][:, 0].tolist() == [*range(50, 60)]


def test_opening_writes_nothing(index, tmp_path, monkeypatch):
    index.build(VECTORS)
    index.save(tmp_path)
    for call in ("upsert", "create", "delete", "settle"):
        monkeypatch.setattr(type(index.collection), call, None)
    opened = type(index).open(tmp_path)
    opened.remove(np.array([0]))
    opened.add(unit(2, seed=1))
    assert len(opened) == 51
    assert opened.search(unit(2, seed=1), 1)[1].tolist() == [[49], [50]]


def test_a_search_that_takes_too_long_is_ended(postgres_url):
    index = bound(PgvectorIndex(postgres_url.format(name()), timeout_s=0.2))
    index.build(VECTORS)
    with pytest.raises(IndexUnavailable, match=r"no answer within 0\.2 s"):
        index.collection._server.run(lambda it: it.execute("SELECT pg_sleep(5)"))
    assert index.search(VECTORS[:1], 1)[1].tolist() == [[0]]


def test_a_connection_that_the_server_ended_is_made_again(postgres_url):
    index = bound(PgvectorIndex(postgres_url.format(name())))
    index.build(VECTORS)
    other = PgvectorIndex(index.url).collection._server
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
    )
    other.run(lambda it: it.execute(ended))
    assert index.search(VECTORS[:1], 1)[1].tolist() == [[0]]


def test_a_server_that_goes_away_is_told_and_one_that_comes_back_is_used(tmp_path: Path):
    folder = tmp_path / "pg"
    with postgres(folder) as url:
        index = bound(PgvectorIndex(url.format("t"), timeout_s=2))
        index.build(VECTORS)
    with pytest.raises(IndexUnavailable, match="running there"):
        index.search(VECTORS[:1], 1)
    with postgres(folder):
        assert index.search(VECTORS[:1], 1)[1].tolist() == [[0]]
        assert len(index.collection.serials()) == 50


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: PgvectorIndex("postgresql://h/db/t", "IVF"),
            "kind: 'IVF' isn't one of exact, HNSW",
        ),
        (
            lambda: MilvusIndex("milvus://h:1/t", "DISKANN"),
            "kind: 'DISKANN' isn't one of FLAT, HNSW",
        ),
        (lambda: MilvusIndex("milvus:///folder/file/t"), "milvus-lite"),
        (lambda: MilvusIndex("http://me:s3cret@h:1/t"), "milvus://host:19530/collection"),
        (lambda: PgvectorIndex("postgresql://me:s3cret@h:port/db/t"), "isn't a URL"),
        (lambda: PgvectorIndex("postgresql://me:s3cret/5@h/db/t"), "isn't a URL"),
        (lambda: PgvectorIndex("postgresql://me:5/s3cret@h/db/t"), "isn't a URL"),
        (lambda: PgvectorIndex("postgresql://me:s3cret@h/db/t-1"), "'t-1' here"),
        (lambda: PgvectorIndex("postgresql:db/t"), "postgresql://host:5432/database/table"),
    ],
)
def test_settings_that_can_not_be_used_are_told_without_secrets(make, said):
    with pytest.raises(ValueError, match=r"^(kind|url): ") as told:
        make()
    assert said in str(told.value)
    assert "s3cret" not in str(told.value)


def test_more_dimensions_than_an_index_takes_are_refused_before_training(postgres_url):
    with pytest.raises(ValueError, match="takes at most 4,000 dimensions"):
        PgvectorIndex(postgres_url.format("t"), "HNSW").check(10, 4096)
    PgvectorIndex(postgres_url.format("t")).check(10, 4096)
    with pytest.raises(ValueError, match="32,768"):
        MilvusIndex("milvus://h:1/t").check(10, 40_000)


@pytest.mark.parametrize(
    ("kind", "url", "settings", "setting"),
    [
        (
            PgvectorIndex,
            "postgresql://h/d/t",
            {"construction": {"m = 4); DROP TABLE t; --": 1}},
            "construction",
        ),
        (PgvectorIndex, "postgresql://h/d/t", {"searching": {"ef": 99}}, "searching"),
        (MilvusIndex, "milvus://h:1/t", {"construction": {"m": 4}}, "construction"),
        (MilvusIndex, "milvus://h:1/t", {"searching": {"nprobe": 4}}, "searching"),
    ],
)
def test_settings_that_a_store_does_not_have_are_refused(kind, url, settings, setting):
    with pytest.raises(ValueError, match=f"{setting}: HNSW has no .*it has "):
        kind(url, kind="HNSW", **settings)
    with pytest.raises(ValueError, match="it has none"):
        kind(url, **settings)


def test_a_collection_whose_making_was_cut_off_gets_its_index_later(lite_url, monkeypatch):
    url = lite_url.format(name())
    index = bound(MilvusIndex(url, kind="HNSW"))
    index._owner = "mine"
    index.collection.create(VECTORS.shape[1], index._meta(VECTORS.shape[1]))  # and no row
    later = bound(MilvusIndex(url, kind="HNSW"))
    later._owner = "mine"
    later.build(VECTORS)
    assert later.collection._client.list_indexes(later.collection._name)
    assert later.search(VECTORS[:3], 1)[1].ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize("empty", ["@", ":@"])
def test_an_empty_user_or_password_in_the_url_is_not_given(postgres_url, empty):
    url = postgres_url.format(name()).replace("postgresql://", f"postgresql://{empty}")
    index = bound(PgvectorIndex(url + "&user=&password="))
    index.build(VECTORS)  # as PGUSER
    assert not index.collection.secret
    assert index.url == postgres_url.format(index.collection._quoted.strip('"'))


def test_every_secret_option_of_a_url_is_hidden():
    options = "password=a&sslpassword=b&oauth_client_secret=c&scram_client_key=d&token=e&user=f"
    shown = PgvectorIndex(f"postgresql://h/d/t?sslmode=require&sslkey=file&{options}").url
    assert shown == "postgresql://h/d/t?sslmode=require&sslkey=file"
