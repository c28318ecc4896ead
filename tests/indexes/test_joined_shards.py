from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from indexes.hits import assert_same_hits
from small_bundle import unit_vectors

from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_kinds import check_mergeable

VECTORS, QUERIES = unit_vectors(600, 16), unit_vectors(20, 16, seed=1)
KINDS = ["IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4x2", "PCA8,IVF8,Flat", "IVF8_HNSW8,Flat", "IVF8,RaBitQ"]
KINDS += ["OPQ4_8,IVF8,PQ4x2", "IMI2x2,Flat"]
FLAT = ["Flat", "SQ8", "PQ4x2", "PCA8,Flat", "RaBitQ"]


def made(factory: str) -> FaissIndex:
    search = {"nprobe": 3} if "IVF" in factory else {}
    return FaissIndex(factory, search=search, train_sample=400)


def shards(folder: Path, factory: str) -> FaissIndex:
    """Train once, add in pieces (one is empty), join."""
    trained = made(factory)
    trained.train(VECTORS[trained.sample(len(VECTORS))])
    assert len(trained) == 0
    (folder / "trained").mkdir()
    trained.save(folder / "trained")
    places = []
    for number, (start, end) in enumerate(pairwise((0, 100, 100, 350, 600))):
        shard = FaissIndex.open(folder / "trained")
        if start < end:
            shard.add(VECTORS[start:end])
        places.append(folder / f"{number}")
        places[-1].mkdir()
        shard.save(places[-1])
    joined = made(factory)
    joined.join(places)
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


@pytest.mark.parametrize(
    "factory",
    [
        "HNSW8",
        "IVF8,PQ4x4fs",
        "IVF8,PQ4x2,RFlat",
        "PQ4x4fs",
        "NSG8",
        "IVF8,PQ4+4",
        "IVF8,FlatPanorama4",
    ],
)
def test_kinds_that_can_not_be_joined_are_refused(factory):
    with pytest.raises(ValueError, match=r"shards of .* can't be joined\. Only"):
        check_mergeable(factory)


def test_shards_of_another_kind_are_refused(tmp_path):
    for number, factory in enumerate(("IVF8,Flat", "IVF8,SQ8")):
        index = made(factory)
        index.build(VECTORS)
        (tmp_path / f"{number}").mkdir()
        index.save(tmp_path / f"{number}")
    with pytest.raises(ValueError, match="shards can't be joined"):
        made("IVF8,Flat").join([tmp_path / "0", tmp_path / "1"])
