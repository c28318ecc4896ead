import numpy as np

from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.promote import Drift, promote
from vsearch.bundle.generations.state import State
from vsearch.errors import BundleError
from vsearch.indexes.base import Index

# pending changes above which they are folded
FOLD_ROWS = 5000
FOLD_CHANGES = 64
# in FAISS's factory strings
GRAPHS = ("HNSW", "NSG", "NNDescent")
REFINED = ("Refine", "RFlat")
LINKED_ROWS = 1000  # above this, rebuilding one takes a reader long
ADVISE_ABOVE = 0.2


def drift(live: Live) -> Drift:
    """Return the drift of the current generation, with the changes on top."""
    added = len(live.pending.items)
    removed = len(live.pending.removed)
    since = Drift(**live.manifest.get("drift", {"built": live.from_generation + removed}))
    return Drift(since.built, since.added + added, since.removed + removed)


def advice(live: Live) -> str | None:
    """Return advice if there is much drift; drift doesn't matter to an exact index."""
    share = drift(live).share
    if share <= ADVISE_ABOVE or live.index.exact:
        return None
    return (
        f"{share:.0%} of the rows were added or removed since the index was built; above "
        f"{ADVISE_ABOVE:.0%} it finds less and slows down. Rebuild it: python -m vsearch index "
        f"optimize {live.bundle}"
    )


def due(live: Live) -> bool:
    """Return whether pending changes should be folded: a reader applies them at each opening.

    A graph, or an index with a refinement, can't remove anything: it is rebuilt from what remains.
    20,000 vectors of 256 dimensions in HNSW32 take 13 s.
    """
    if len(live.pending) > FOLD_ROWS or len(live.state.changes) > FOLD_CHANGES:
        return True
    slow = len(live.pending.removed) > 0 and len(live.items) > LINKED_ROWS
    return slow and _is_linked_anew(live.index)


def fold(live: Live) -> State:
    """Write the changes into a new generation of the same index, without training it again."""
    if not live.state.changes:
        raise BundleError("there are no changes to fold.")
    return promote(live, live.index, live.all_vectors, "fold", drift(live))


def rebuild(live: Live, index: Index, reason: str) -> State:
    """Build an index of the live items and make it current; it may be `live.index` itself."""
    vectors = build(live, index)
    return promote(live, index, vectors.__getitem__, reason)


def build(live: Live, index: Index) -> np.ndarray:
    """Build an index of the live items' vectors; return them, see `Live.all_vectors`.

    Raises:
        BundleError: the vectors aren't stored, or the index refuses them.
    """
    with explained(live.bundle, "reading the vectors"):
        vectors = live.all_vectors(np.arange(len(live.items)))
    with explained(live.bundle, "building the index"):
        index.bind(live.fitted["fingerprint"])
        index.build(vectors)
    return vectors


def _is_linked_anew(index: Index) -> bool:
    factory = str(index.describe().get("factory", ""))
    # a graph may also be the coarse quantizer of an IVF: IVF1024_HNSW32
    kinds = REFINED if "IVF" in factory else (*GRAPHS, *REFINED)
    return any(kind in factory for kind in kinds)
