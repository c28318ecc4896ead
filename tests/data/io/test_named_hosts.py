"""A bundle's own word isn't enough to send a password to a server."""

import json
import os
import socket
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from vsearch.data.io.named_hosts import check_stored_url, name_hosts, needs_tls
from vsearch.indexes.milvus import MilvusIndex
from vsearch.indexes.pgvector import PgvectorIndex

TLS = "sslmode=disable"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("VSEARCH_STORE_HOSTS", "PGHOST", "PGSSLMODE", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("MILVUS_TOKEN", "root:s3cret")


@pytest.fixture
def server():
    """A server that counts who connects."""
    callers = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                callers.append(connection)

        Thread(target=listen, daemon=True).start()
        yield listening.getsockname()[1], callers


def saved(folder: Path, kind: type, url: str) -> Path:
    settings = {
        **kind("postgresql://h/d/t" if kind is PgvectorIndex else "milvus://h/t").settings()
    }
    entry = {
        "format": 1,
        "settings": {**settings, "url": url},
        "owner": "o",
        "fingerprint": "f",
        "dim": 8,
    }
    (folder / "collection.json").write_text(json.dumps(entry))
    np.save(folder / "serials.npy", np.arange(3))
    return folder


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (PgvectorIndex, "postgresql://127.0.0.1:{port}/db/t"),
        (PgvectorIndex, "postgresql:///db/t?host=127.0.0.1&port={port}"),
        (PgvectorIndex, "postgresql://db.example.com/db/t?hostaddr=127.0.0.1&port={port}"),
        (PgvectorIndex, "postgresql://localhost:{port}/db/t?sslmode=disable"),
        (PgvectorIndex, "postgresql:///db/t?host=/tmp/strange"),
        (PgvectorIndex, "postgresql:///db/t?service=strange"),
        (PgvectorIndex, "postgresql:///db/t?passfile=/etc/passwd"),
        (MilvusIndex, "milvus://127.0.0.1:{port}/t"),
        (MilvusIndex, "milvus://localhost:{port}/t?secure=false"),
    ],
)
def test_nobody_is_connected_to_whom_the_user_did_not_name(
    tmp_path, server, kind, url, monkeypatch
):
    port, callers = server
    monkeypatch.setenv("VSEARCH_STORE_HOSTS", "db.example.com, other")
    with pytest.raises(ValueError, match=r"--store-hosts|a bundle can't set"):
        kind.open(saved(tmp_path, kind, url.format(port=port)))
    assert not callers


@pytest.mark.parametrize(
    ("named", "url", "good"),
    [
        ("db:5432", "postgresql://db:5432/d/t", True),
        ("DB", "postgresql://db:5432/d/t", True),
        ("db:5433", "postgresql://db:5432/d/t", False),
        ("db", "postgresql://db.evil/d/t", False),
        ("db", "postgresql://evil/d/t?host=db", False),
        ("db", "postgresql://db@evil/d/t", False),
        ("db", "postgresql:///d/t?host=db,evil", False),
        ("db", f"postgresql://db/d/t?{TLS}", False),
        ("db/plain", f"postgresql://db/d/t?{TLS}", True),
        ("db/plain", "postgresql://db/d/t?sslmode=verify-full", True),
        ("localhost", f"postgresql://localhost/d/t?{TLS}", True),
        ("[::1]:5432", "postgresql://[::1]:5432/d/t", True),
        ("m:1", "milvus://m:1/t?secure=false", False),
        ("m:1/plain", "milvus://m:1/t?secure=false", True),
        ("", "milvus:///folder/lite.db/t", True),
    ],
)
def test_a_host_is_named_as_a_whole(monkeypatch, named, url, good):
    monkeypatch.setenv("VSEARCH_STORE_HOSTS", named)
    if good:
        check_stored_url(url)
        return
    with pytest.raises(ValueError, match="--store-hosts"):
        check_stored_url(url)


def test_libpqs_own_variable_names_a_host_of_postgresql_alone(monkeypatch):
    monkeypatch.setenv("PGHOST", "db")
    check_stored_url("postgresql://db/d/t")
    with pytest.raises(ValueError, match="--store-hosts"):
        check_stored_url("milvus://db/t")


def test_hosts_are_added(monkeypatch):
    monkeypatch.setenv("VSEARCH_STORE_HOSTS", "a")
    name_hosts(["b:1", "a"])
    assert set(os.environ["VSEARCH_STORE_HOSTS"].split(",")) == {"a", "b:1"}


def test_tls_is_on_but_for_this_machine_and_where_the_user_says_so(monkeypatch):
    monkeypatch.setenv("VSEARCH_STORE_HOSTS", "inner/plain")
    wanted = {
        "db": True,
        "127.0.0.1:1": False,
        "[::1]:2": False,
        "localhost": False,
        "inner:5": False,
    }
    assert {host: needs_tls(host) for host in wanted} == wanted
    assert "sslmode=require" in PgvectorIndex("postgresql://db/d/t").collection._server._url
    assert "sslmode=disable" in PgvectorIndex(f"postgresql://db/d/t?{TLS}").collection._server._url
    assert "sslmode" not in PgvectorIndex("postgresql://127.0.0.1/d/t").collection._server._url
    assert MilvusIndex("milvus://db:1/t").collection._place == "https://db:1"
    assert MilvusIndex("milvus://inner:1/t").collection._place == "http://inner:1"
