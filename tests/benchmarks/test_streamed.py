import numpy as np
import pytest
from indexes.test_faiss import unit

from benchmarks import streamed
from benchmarks.streamed import StreamedIndex


def built(vectors: np.ndarray) -> StreamedIndex:
    index = StreamedIndex()
    index.build(vectors)
    return index


@pytest.mark.parametrize("rows", [7, 1000])
@pytest.mark.parametrize("share", [None, 0.0, 0.1, 0.9])
def test_pieces_give_what_one_pass_gives(rows, share, monkeypatch):
    monkeypatch.setattr(streamed, "CHUNK_BYTES", 4 * 16 * rows)
    gallery, queries = unit(300, 16), unit(20, 16, seed=1)
    allowed = None if share is None else np.random.default_rng(0).random(300) < share
    kept = np.arange(300) if allowed is None else np.flatnonzero(allowed)
    halved = gallery[kept].astype(np.float16).astype(np.float32)
    exact = queries @ (halved / np.linalg.norm(halved, axis=1, keepdims=True)).T
    for k in (1, 10, 400):
        scores, positions = built(gallery).search(queries, k, allowed)
        order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
        assert np.array_equal(positions, kept[order])
        assert np.abs(scores - np.take_along_axis(exact, order, axis=1)).max(initial=0) < 1e-6


def test_it_opens_without_reading_and_follows_the_table(tmp_path):
    gallery, more = unit(30, 16), unit(5, 16, seed=1)
    index = built(gallery)
    index.add(more)
    index.remove(np.array([0, 31]))
    assert index.save(tmp_path) == ["vectors.npy"]
    again = StreamedIndex.open(tmp_path)
    assert isinstance(again._rows, np.memmap)
    kept = np.delete(np.concatenate([gallery, more]), [0, 31], axis=0)
    assert len(again) == 33
    assert again.search(kept, 1)[1][:, 0].tolist() == list(range(33))
    assert np.abs(again.vectors(np.arange(33)) - kept).max() < 1e-3


def test_a_mapped_file_is_left_on_the_disk(tmp_path):
    np.save(tmp_path / "v.npy", unit(10, 16).astype(np.float16))
    index = built(np.load(tmp_path / "v.npy", mmap_mode="r"))
    assert isinstance(index._rows, np.memmap)


def test_foreign_files_are_refused(tmp_path):
    np.save(tmp_path / "vectors.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not float16"):
        StreamedIndex.open(tmp_path)
