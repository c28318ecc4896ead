import pytest

from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex


@pytest.mark.parametrize(
    ("index", "exact"),
    [
        (FaissIndex(), True),
        (ExactIndex(), True),
        (FaissIndex("HNSW8"), False),
        (FaissIndex("SQ8"), False),
    ],
)
def test_what_is_exact_by_construction(index, exact):
    assert index.exact == exact
    chosen = AutoIndex()
    chosen.chosen = index
    assert chosen.exact == exact


def test_an_index_not_chosen_yet_is_not_known_to_be_exact():
    assert not AutoIndex().exact
