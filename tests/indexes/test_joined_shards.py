import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
from indexes.hits import assert_same_hits
from small_bundle import unit_vectors

from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_files import LISTS
from vsearch.indexes.faiss_kinds import check_mergeable

VECTORS, QUERIES = unit_vectors(600, 16), unit_vectors(20, 16, seed=1)
KINDS = ["IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4x2", "PCA8,IVF8,Flat", "IVF8_HNSW8,Flat", "IVF8,RaBitQ"]
FLAT = ["Flat", "SQ8", "PCA8,Flat", "RaBitQ"]


def made(factory: str, mmap: bool = False) -> FaissIndex:
    search = {"nprobe": 3} if "IVF" in factory else {}
    return FaissIndex(factory, search=search, train_sample=400, mmap=mmap)


def shards(folder: Path, factory: str, mmap: bool = False) -> FaissIndex:
    """Train once, add in pieces (one is empty), join."""
    trained = made(factory, mmap)
    trained.train(VECTORS[trained.sample(len(VECTORS))])
    assert len(trained) == 0
    (folder / "trained").mkdir()
    trained.save(folder / "trained")
    places = []
    for number, (start, end) in enumerate(pairwise((0, 100, 100, 350, 600))):
        shard = FaissIndex.open(folder / "trained")
        if start < end:
            shard.add(VECTORS[start:end], start)
        places.append(folder / f"{number}")
        places[-1].mkdir()
        shard.save(places[-1])
    joined = made(factory, mmap)
    joined.join(places, folder / LISTS)
    return joined


def same(one: FaissIndex, other: FaissIndex) -> None:
    assert len(one) == len(other)
    assert_same_hits(one.search(QUERIES, 10), other.search(QUERIES, 10))


@pytest.mark.parametrize("factory", [*KINDS, *FLAT])
def test_joined_shards_answer_as_one_index(tmp_path, factory):
    whole = made(factory)
    whole.build(VECTORS)
    joined = shards(tmp_path, factory)
    same(joined, whole)
    for index in (joined, whole):
        index.add(QUERIES[:5])
        index.remove(np.arange(0, 50))
    same(joined, whole)


@pytest.mark.parametrize("factory", KINDS)
def test_shards_joined_on_the_disk_answer_as_one_index_wherever_they_are_moved(tmp_path, factory):
    whole = made(factory)
    whole.build(VECTORS)
    joined = shards(tmp_path, factory, mmap=True)
    same(joined, whole)
    (tmp_path / "saved").mkdir()
    assert joined.save(tmp_path / "saved") == ["index.faiss", "index.json", LISTS]
    (tmp_path / LISTS).unlink()
    (tmp_path / "saved").rename(tmp_path / "moved")
    opened = FaissIndex.open(tmp_path / "moved")
    same(opened, whole)
    np.testing.assert_allclose(
        opened.vectors(np.arange(5)), whole.vectors(np.arange(5)), rtol=0, atol=1e-6
    )
    allowed = np.arange(600) % 2 == 0
    assert_same_hits(opened.search(QUERIES, 5, allowed), whole.search(QUERIES, 5, allowed))
    before = (tmp_path / "moved" / LISTS).read_bytes()
    unmapped = FaissIndex.open(tmp_path / "moved", mmap=False)  # its lists stay on the disk
    unmapped.add(QUERIES[:5])
    assert len(unmapped) == 605
    for index in (opened, whole):
        index.add(QUERIES[:5])
        index.remove(np.arange(0, 50))
    same(opened, whole)
    assert (tmp_path / "moved" / LISTS).read_bytes() == before  # a change is made in memory
    (tmp_path / "changed").mkdir()
    opened.save(tmp_path / "changed")
    same(FaissIndex.open(tmp_path / "changed"), whole)


@pytest.mark.parametrize(
    "factory", ["HNSW8", "IVF8,PQ4x4fs", "IVF8,PQ4x2,RFlat", "IMI2x2,Flat", "PQ4x4fs", "NSG8"]
)
def test_kinds_that_can_not_be_joined_are_refused(factory):
    with pytest.raises(ValueError, match=r"can't be joined\. Only IVF"):
        check_mergeable(faiss.index_factory(16, factory), factory)


def test_shards_of_another_kind_are_refused(tmp_path):
    for number, factory in enumerate(("IVF8,Flat", "IVF8,SQ8")):
        index = made(factory)
        index.build(VECTORS)
        (tmp_path / f"{number}").mkdir()
        index.save(tmp_path / f"{number}")
    with pytest.raises(ValueError, match="shards can't be joined"):
        made("IVF8,Flat").join([tmp_path / "0", tmp_path / "1"], tmp_path / LISTS)


def test_plain_faiss_reads_lists_on_the_disk_but_its_mmap_flag_still_ends_the_process(tmp_path):
    """Why `faiss_files.read` opens them; should the second half fail, FAISS has mended it."""
    joined = shards(tmp_path, "IVF8,Flat", mmap=True)
    (tmp_path / "saved").mkdir()
    joined.save(tmp_path / "saved")
    np.save(tmp_path / "queries.npy", QUERIES)
    code = (
        "import sys, faiss, numpy; index = faiss.read_index(sys.argv[1], int(sys.argv[3])); "
        "print(index.search(numpy.load(sys.argv[2]), 3)[1].tolist())"
    )
    words = [
        sys.executable,
        "-c",
        code,
        tmp_path / "saved" / "index.faiss",
        tmp_path / "queries.npy",
    ]
    flags = (faiss.IO_FLAG_ONDISK_SAME_DIR, faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_MMAP)
    good, bad = (
        subprocess.run([*words, str(flag)], capture_output=True, text=True) for flag in flags
    )
    assert good.stdout.splitlines()[-1] == str(
        FaissIndex.open(tmp_path / "saved")._index.search(QUERIES, 3)[1].tolist()
    )
    assert bad.returncode < 0  # a signal
