"""Bundles whose index is in a vector store: every command, as with FAISS."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from indexes.index_makers import drop, name
from refusals import refusal
from small_service import encoded, picture, served_bundle

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.milvus import MilvusIndex
from vsearch.indexes.pgvector import PgvectorIndex, Table
from vsearch.indexes.vector_store import VectorStoreIndex

N = 30


@pytest.fixture(params=["pgvector", "milvus-lite"])
def url(request) -> str:
    """Of a collection that isn't there yet."""
    return request.getfixturevalue(
        "postgres_url" if request.param == "pgvector" else "lite_url"
    ).format(name())


@pytest.fixture
def made(tmp_path) -> Path:
    return served_bundle(tmp_path / "bundle")


def index(capsys, *words: object) -> str:
    capsys.readouterr()
    main(["index", *map(str, words)])
    return capsys.readouterr().out


def answers(bundle: Path, **wishes: object) -> list[list[str]]:
    opened = open_bundle(bundle)
    queries = open_live(bundle).vectors(np.arange(0, 20, 5))
    allowed = opened.allowed(wishes.pop("where", None))
    return [
        hits["id"].to_pylist() for hits in opened.search_embeddings(queries, 10, allowed, **wishes)
    ]


def rows(bundle: Path) -> int:
    return len(open_live(bundle).index.collection.serials())


def test_a_bundle_moves_to_a_store_and_back_and_answers_as_before(made, url, capsys, tmp_path):
    wishes = [
        {},
        {"where": "price < 12"},
        {"group_by": "label"},
        {"where": "colour = red", "min_score": 0.2},
    ]
    before = [answers(made, **wish) for wish in wishes]
    out = index(capsys, "copy", made, url)
    assert "overlap_at_10 1.0000" in out
    assert "Generation 1: 30 items" in out
    assert not (made / "copying.json").exists()
    assert isinstance(open_live(made).index, VectorStoreIndex)
    assert [answers(made, **wish) for wish in wishes] == before
    assert url.partition("?")[0] in index(capsys, "describe", made, "--json")
    assert "All is well" in index(capsys, "verify", made)
    assert "a new bundle of 30 items" in index(capsys, "copy", made, tmp_path / "back")
    assert isinstance(open_live(tmp_path / "back").index, ExactIndex)
    assert [answers(tmp_path / "back", **wish) for wish in wishes] == before
    assert "All is well" in index(capsys, "verify", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "bundle", "photos"]


def test_items_come_and_go_and_a_rollback_undoes_it(made, url, capsys, tmp_path):
    index(capsys, "copy", made, url)
    first = answers(made)
    for number in range(3):
        (tmp_path / "new" / "l9").mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(tmp_path / "new" / "l9" / f"{number}.png")
    assert "Added 3 items" in index(
        capsys, "add", made, "--folder", tmp_path / "new", "--runtime", "torch"
    )
    assert rows(made) == N  # pending changes are the bundle's own
    assert "Removed 2 items" in index(capsys, "remove", made, "p0", "p1")
    photo = str(tmp_path / "new" / "l9" / "1.png")
    main(["search", str(made), photo, "--json"])
    assert json.loads(capsys.readouterr().out)[0]["hits"][0]["label"] == "l9"
    assert "Generation 2: 31 items" in index(capsys, "optimize", made)
    assert rows(made) == N + 31
    assert all("p0" not in hits for hits in answers(made))
    assert "Now:    generation 1, 31 items" in index(capsys, "rollback", made)
    for _ in range(2):
        index(capsys, "rollback", made)
    assert answers(made) == first
    assert "All is well" in index(capsys, "verify", made)


def test_vacuum_deletes_what_no_kept_generation_needs(made, url, capsys):
    index(capsys, "copy", made, url)
    index(capsys, "optimize", made)
    assert "Deleted 0 rows" in index(capsys, "vacuum", made)  # generation 1 is kept for a rollback
    index(capsys, "remove", made, "p3")
    index(capsys, "optimize", made)
    expected = answers(made)
    assert rows(made) == N + N + N - 1
    assert f"Deleted {N} rows" in index(capsys, "vacuum", made)
    assert rows(made) == N + N - 1
    assert answers(made) == expected
    index(capsys, "rollback", made)
    assert len(open_live(made).items) == N - 1  # the change is pending again
    assert len(answers(made)[0]) == 10


def test_a_fold_writes_pending_changes_to_the_store(made, url, capsys, monkeypatch):
    index(capsys, "copy", made, url)
    monkeypatch.setattr("vsearch.bundle.generations.rebuild.FOLD_ROWS", 1)
    before = answers(made)
    assert "Folded 2 changed rows into generation 2" in index(capsys, "remove", made, "p28", "p27")
    assert rows(made) == N  # the store keeps them for generation 1
    assert [[id for id in hits if id not in ("p27", "p28")][:8] for hits in before] == [
        h[:8] for h in answers(made)
    ]


def test_a_copy_that_was_cut_off_goes_on_where_it_was(made, url, capsys, monkeypatch):
    monkeypatch.setattr("vsearch.indexes.stores.rows.BATCH_ROWS", 4)
    monkeypatch.setattr("vsearch.indexes.vector_store.batch_rows", lambda dim: 4)
    sent: list[int] = []
    cut = [3]

    def counted(upsert):
        def call(self, serials, vectors):
            if len(sent) == cut[0]:
                raise KeyboardInterrupt
            upsert(self, serials, vectors)
            sent.append(len(serials))

        return call

    kind = "pgvector.Table" if url.startswith("postgresql") else "milvus.MilvusCollection"
    module, _, cls = f"vsearch.indexes.{kind}".rpartition(".")
    target = getattr(__import__(module, fromlist=[cls]), cls)
    monkeypatch.setattr(target, "upsert", counted(target.upsert))
    with pytest.raises(SystemExit):
        index(capsys, "copy", made, url)
    assert open_live(made).state.generation == 0
    assert json.loads((made / "copying.json").read_text())["filling"]["done"] == 12
    cut[0] = -1
    assert "overlap_at_10 1.0000" in index(capsys, "copy", made, url)
    assert sum(sent) == N  # nothing was sent twice
    assert rows(made) == N


def test_a_copy_that_was_cut_off_begins_anew_when_the_bundle_has_changed(
    made, postgres_url, capsys, monkeypatch
):
    url, put = postgres_url.format(name()), Table.upsert
    monkeypatch.setattr(Table, "upsert", lambda *_: (_ for _ in ()).throw(IndexUnavailable("gone")))
    assert "gone" in refusal(capsys, "index", "copy", made, url)
    monkeypatch.setattr(Table, "upsert", put)
    index(capsys, "remove", made, "p7")
    assert "Generation 1: 29 items" in index(capsys, "copy", made, url)
    assert rows(made) == N - 1


def test_rows_that_somebody_deleted_amid_a_copy_are_written_again(made, url, capsys):
    assert "overlap" in refusal(
        capsys, "index", "copy", made, url, "--min-overlap", "1.1", status=1
    )
    kind = PgvectorIndex if url.startswith("postgresql") else MilvusIndex
    collection = kind(url).collection
    collection.delete(collection.serials()[3:9])
    index(capsys, "copy", made, url)
    assert rows(made) == N
    assert "All is well" in index(capsys, "verify", made)


def test_a_copy_is_gone_on_with_only_as_it_was_begun(made, url, capsys):
    assert "overlap" in refusal(
        capsys, "index", "copy", made, url, "--min-overlap", "1.1", status=1
    )
    assert re.search(
        r"was begun with .* not .*HNSW",
        refusal(capsys, "index", "copy", made, url, "--init-args", '{"kind": "HNSW"}'),
    )
    assert open_live(made).state.generation == 0


def test_a_folder_takes_no_settings(made, capsys, tmp_path):
    assert "a folder gets exact search" in refusal(
        capsys, "index", "copy", made, tmp_path / "back", "--init-args", '{"kind": "HNSW"}'
    )


def test_a_copy_to_a_folder_goes_on_where_it_was(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("vsearch.bundle.copying.BLOCK", 4)
    fetched: list[int] = []

    def vectors(self, positions):
        if len(fetched) == 3:
            raise OSError("away")
        fetched.extend([len(positions)] if len(positions) == 4 or fetched[3:] else [])
        return self.index.vectors(positions)

    monkeypatch.setattr("vsearch.bundle.generations.live.Live.all_vectors", vectors)
    assert "away" in refusal(capsys, "index", "copy", made, tmp_path / "back")
    assert (tmp_path / ".back-copying" / "vectors.f32").stat().st_size == 3 * 4 * 4 * 8
    fetched.append(0)
    index(capsys, "copy", made, tmp_path / "back")
    assert answers(tmp_path / "back") == answers(made)
    assert not (tmp_path / ".back-copying").exists()


def test_another_bundle_and_another_model_are_refused(made, url, capsys, tmp_path):
    index(capsys, "copy", made, url)
    other = served_bundle(tmp_path / "other", seed=1)
    fingerprints = [open_live(bundle).fitted["fingerprint"] for bundle in (made, other)]
    said = refusal(capsys, "index", "copy", other, url)
    assert all(fingerprint in said for fingerprint in fingerprints)
    assert open_live(other).state.generation == 0
    assert "for another bundle" in refusal(
        capsys, "index", "copy", served_bundle(tmp_path / "twin"), url
    )
    assert rows(made) == N


def test_a_collection_that_is_gone_or_lacks_rows_is_told_at_opening(made, url, capsys):
    index(capsys, "copy", made, url)
    opened = open_live(made).index
    opened.collection.delete(opened.collection.serials()[:3])
    assert "lacks 3 of this index's 30 rows" in refusal(capsys, "index", "describe", made)
    drop(opened)
    assert re.search(r"doesn.t exist, or no longer", refusal(capsys, "index", "describe", made))
    index(capsys, "rollback", made)  # to the bundle's own files
    assert open_live(made).state.generation == 0


def test_no_secret_of_a_url_is_written(made, postgres_url, capsys, monkeypatch):
    monkeypatch.delenv("PGUSER")
    where = (
        postgres_url.format(name()).replace("postgresql://", "postgresql://postgres:s3cret@")
        + "&password=s3cret"
    )
    said = index(capsys, "copy", made, where, "--init-args", '{"kind": "HNSW"}')
    assert "PGPASSWORD" in said
    monkeypatch.setenv("PGUSER", "postgres")
    said += index(capsys, "describe", made, "--json")
    assert "s3cret" not in said
    for folder, _, files in os.walk(made):
        assert all(b"s3cret" not in (Path(folder) / file).read_bytes() for file in files)
    assert "HNSW" in said


@pytest.mark.parametrize(
    "bad", ["redis://x/y", "postgresql://h/t", "milvus://h:1/2fast", "milvus:///no/collection"]
)
def test_a_url_that_can_not_be_used_says_how_it_should_look(made, capsys, bad):
    assert "milvus" in refusal(
        capsys, "index", "copy", made, bad.replace("postgresql://h/t", "postgresq://h/t")
    )
    assert open_live(made).state.generation == 0


def test_the_service_answers_through_a_vector_store_and_503_when_it_is_away(
    made, postgres_url, capsys, monkeypatch
):
    from fastapi.testclient import TestClient

    from vsearch.serving.api.app import create_app
    from vsearch.serving.api.settings import Settings

    index(capsys, "copy", made, postgres_url.format(name()))
    with TestClient(create_app(made, Settings())) as client:

        def ask(**form: object):
            return client.post(
                "/v1/search/upload", files={"photo": ("a.png", encoded(picture(3)))}, data=form
            )

        hits = ask(k=5, where="price < 20").json()["hits"]
        assert [hits[0]["id"], len(hits)] == ["p3", 5]

        def away(self, *_):
            raise IndexUnavailable("postgresql://secret-host/db/t: connection refused")

        monkeypatch.setattr(Table, "find", away)
        reply = ask(k=5)
        assert reply.status_code == 503
        assert "secret-host" not in reply.text
        assert reply.headers["retry-after"]
        monkeypatch.undo()
        assert ask(k=5).status_code == 200
