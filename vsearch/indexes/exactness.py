from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.vector_store import RemoteIndex


def is_exact(index: Index | None) -> bool:
    """Say whether an index finds the exact hits by construction, however it was built; of a choice,
    what was chosen.
    """
    if isinstance(index, AutoIndex):
        return is_exact(index.chosen)
    if isinstance(index, RemoteIndex):
        return index.exact
    return isinstance(index, ExactIndex) or (
        isinstance(index, FaissIndex) and index.factory == "Flat"
    )
