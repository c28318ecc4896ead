from collections.abc import Iterator

import faiss
import numpy as np

ENOUGH = (
    39  # vectors a centroid below which FAISS warns (faiss/Clustering.h, min_points_per_centroid)
)


def parts(index: faiss.Index) -> Iterator[faiss.Index]:
    """Return an index and those inside it (behind a transform, refined, as storage, quantizer),
    outermost first.
    """
    index = faiss.downcast_index(index)
    yield index
    for name in ("index", "base_index", "refine_index", "storage", "quantizer"):
        inner = getattr(index, name, None)
        if isinstance(inner, faiss.Index):
            yield from parts(inner)


def reason(error: Exception) -> str:
    """Return what FAISS says, without the C++ function and source file that it says it from."""
    return str(error).rpartition(": ")[2] if isinstance(error, RuntimeError) else str(error)


def check_l2(index: faiss.Index, factory: str) -> None:
    """Refuse kinds whose distances are no squared L2, so that no cosine follows from them.

    Raises:
        ValueError: says which part it is.
    """
    for part in parts(index):
        if isinstance(part, faiss.IndexLSH | faiss.IndexIVFSpectralHash):
            raise ValueError(
                f"factory: {factory} counts bits that differ ({type(part).__name__}), and no "
                "cosine follows from that. RaBitQ takes as little memory: a bit a dimension."
            )


def set_seed(index: faiss.Index, seed: int) -> None:
    """Seed every k-means that the index trains."""
    for part in parts(index):
        for holder in (part, getattr(part, "pq", None), getattr(part, "rq", None)):
            if holder is not None and hasattr(holder, "cp"):
                holder.cp.seed = seed + 1  # FAISS takes seeds from 1


def mend(index: faiss.Index) -> faiss.Index:
    """Return an index as it was before it was written: FAISS 1.15 forgets a pointer, and decoding
    would crash.
    """
    for part in parts(index):
        if isinstance(part, faiss.IndexIVFPQFastScan):
            part.fine_quantizer = part.pq
    return index


def check_enough(index: faiss.Index, factory: str, n: int, train_sample: int | None) -> None:
    """Refuse to train more centroids or principal components than there are vectors to train them
    on.

    Raises:
        ValueError: says how many there are, how many vectors, and what would do.
    """
    have = min(n, train_sample or n)
    for step in _transforms(index):
        if isinstance(step, faiss.PCAMatrix) and step.d_out > min(have, step.d_in):
            raise ValueError(
                f"factory: {factory} wants {step.d_out:,} principal components of vectors of "
                f"{step.d_in:,} dimensions, with {have:,} vectors to train on: "
                f"{min(have, step.d_in):,} at most."
            )
    rotated = any(isinstance(step, faiss.OPQMatrix) for step in _transforms(index))
    # FAISS learns a rotation with codes of 8 bits, whatever those that follow
    wanted = max(256 if rotated else 0, *(_centroids(part) for part in parts(index)))
    if have < wanted:
        raise ValueError(
            f"factory: {factory} trains {wanted:,} centroids, with {have:,} vectors to train on. "
            f"It takes {wanted:,} at least and {ENOUGH * wanted:,} for good ones; with {have:,} "
            f"vectors, up to {max(1, have // ENOUGH):,} centroids are well trained."
        )


def _centroids(part: faiss.Index) -> int:
    codes = getattr(part, "pq", None)
    return max(getattr(part, "nlist", 0), codes.ksub if codes is not None else 0)


def _transforms(index: faiss.Index) -> Iterator[faiss.VectorTransform]:
    for part in parts(index):
        if isinstance(part, faiss.IndexPreTransform):
            for number in range(part.chain.size()):
                yield faiss.downcast_VectorTransform(part.chain.at(number))


def inverted(index: faiss.Index) -> faiss.IndexIVF | None:
    """Return the inverted lists in an index, if it has any."""
    return next((part for part in parts(index) if isinstance(part, faiss.IndexIVF)), None)


def as_written(index: faiss.Index, positions: np.ndarray) -> np.ndarray:
    """Return float32 (m, dim): the vectors at positions, decoded where codes are kept."""
    lists = inverted(index)
    if lists is not None and lists.direct_map.type == faiss.DirectMap.NoMap:
        lists.make_direct_map()
    return index.reconstruct_batch(positions)
