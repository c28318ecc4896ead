from dataclasses import dataclass
from typing import Any

import numpy as np

from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.promote import promote
from vsearch.bundle.generations.state import State
from vsearch.errors import BundleError
from vsearch.indexes.base import Index

FOLD_ROWS, FOLD_CHANGES = (
    5000,
    64,
)  # pending above which they are folded: a reader makes them each time it opens
GRAPHS, REFINED = ("HNSW", "NSG", "NNDescent"), ("Refine", "RFlat")  # in FAISS's factory strings
LINKED_ROWS = 1000  # above which to make one of them anew takes a reader long
ADVISE_ABOVE = 0.2


@dataclass(frozen=True)
class Drift:
    """How far an index has moved from the vectors that it was built, and maybe trained, on.

    Attributes:
        built: how many vectors that were.
        added: rows added since.
        removed: rows removed since; a replaced item counts in both.
    """

    built: int
    added: int = 0
    removed: int = 0

    @property
    def share(self) -> float:
        """Rows added or removed, for each vector it was built on."""
        return (self.added + self.removed) / max(1, self.built)


def drift(live: Live) -> Drift:
    """Return the drift of what is in force, with the changes on top."""
    since = Drift(
        **live.manifest.get("drift", {"built": live.from_generation + len(live.net.removed)})
    )
    return Drift(
        since.built, since.added + len(live.net.items), since.removed + len(live.net.removed)
    )


def advice(live: Live) -> str | None:
    """Return what to do about the drift, if it is time; an exact index finds as much as before."""
    share = drift(live).share
    if share <= ADVISE_ABOVE or live.index.exact:
        return None
    return (
        f"{share:.0%} of the rows were added or removed since the index was built; above "
        f"{ADVISE_ABOVE:.0%} it finds less and slows down. Build it anew: python -m vsearch index "
        f"optimize {live.bundle}"
    )


def due(live: Live) -> bool:
    """Tell whether pending changes should be folded: they are many, or a reader takes long to make
    them.

    A graph, or an index with a refinement, can take nothing out: it is made anew of what stays.
    20,000 vectors of 256 dimensions in HNSW32 take 13 s.
    """
    if len(live.net) > FOLD_ROWS or len(live.state.changes) > FOLD_CHANGES:
        return True
    return (
        bool(len(live.net.removed))
        and len(live.items) > LINKED_ROWS
        and _is_linked_anew(live.index)
    )


def fold(live: Live) -> State:
    """Write the changes into a new generation of the index as it is, not trained anew. Needs
    `lock.writing`.

    Raises:
        BundleError: there is nothing to fold.
        OSError: it could not be written; nothing has changed.
    """
    if not live.state.changes:
        raise BundleError("there are no changes to fold.")
    now = drift(live)
    counted = {"built": now.built, "added": now.added, "removed": now.removed}
    return promote(live, live.index, live.vectors, "fold", counted)


def rebuild(live: Live, index: Index, reason: str) -> State:
    """Build an index of the live items and write it as a new generation. Needs `lock.writing`.

    Args:
        live: what is in force.
        index: to be built; may be `live.index` itself.
        reason: `optimize` or `build`.

    Raises:
        BundleError: the index refuses these vectors.
        OSError: it could not be written; nothing has changed.
    """
    return put(live, index, build(live, index), reason)


def build(live: Live, index: Index) -> np.ndarray:
    """Build an index of the live items' vectors; return these, float32 (n, dim).

    Raises:
        BundleError: the index refuses these vectors.
    """
    vectors = all_vectors(live)
    with explained(live.bundle, "building the index"):
        index.bind(live.fitted["fingerprint"])
        index.build(vectors)
    return vectors


def put(
    live: Live, index: Index, vectors: np.ndarray, reason: str, extra: dict[str, Any] | None = None
) -> State:
    """Write an index just built of the live items' vectors (n, dim) as a new generation. Needs
    `lock.writing`.
    """
    return promote(
        live,
        index,
        vectors.__getitem__,
        reason,
        {"built": len(vectors), "added": 0, "removed": 0},
        extra,
    )


def all_vectors(live: Live) -> np.ndarray:
    """Return every live item's vector, float32 (n, dim).

    Raises:
        BundleError: the index can't give its vectors back, and none are stored.
    """
    with explained(live.bundle, "reading the vectors"):
        return live.vectors(np.arange(len(live.items)))


def _is_linked_anew(index: Index) -> bool:
    factory = str(index.describe().get("factory", ""))
    kinds = (
        REFINED if "IVF" in factory else (*GRAPHS, *REFINED)
    )  # a graph may also find an IVF's lists: IVF1024_HNSW32
    return any(kind in factory for kind in kinds)
