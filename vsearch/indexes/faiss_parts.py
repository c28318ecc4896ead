from collections.abc import Iterator
from math import ceil

import faiss
import numpy as np

ENOUGH = 39  # vectors a centroid below which FAISS warns (faiss/Clustering.h, min_points_per_centroid)


def parts(index: faiss.Index) -> Iterator[faiss.Index]:
    """Return an index and those inside it (behind a transform, refined, as storage, quantizer), outermost first."""
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
                f"factory: {factory} counts bits that differ ({type(part).__name__}), and no cosine follows from that. "
                "RaBitQ takes as little memory: a bit a dimension."
            )


def set_seed(index: faiss.Index, seed: int) -> None:
    """Seed every k-means that the index trains."""
    for part in parts(index):
        for holder in (part, getattr(part, "pq", None), getattr(part, "rq", None)):
            if holder is not None and hasattr(holder, "cp"):
                holder.cp.seed = seed + 1  # FAISS takes seeds from 1


def mend(index: faiss.Index) -> faiss.Index:
    """Return an index as it was before it was written: FAISS 1.15 forgets a pointer, and decoding would crash."""
    for part in parts(index):
        if isinstance(part, faiss.IndexIVFPQFastScan):
            part.fine_quantizer = part.pq
    return index


def check_enough(index: faiss.Index, factory: str, n: int, train_sample: int | None) -> None:
    """Refuse to train more centroids or principal components than there are vectors to train them on.

    Raises:
        ValueError: says how many there are, how many vectors, and what would do.
    """
    have = min(n, train_sample or n)
    for step in _transforms(index):
        if isinstance(step, faiss.PCAMatrix) and step.d_out > min(have, step.d_in):
            raise ValueError(
                f"factory: {factory} wants {step.d_out:,} principal components of vectors of {step.d_in:,} dimensions, "
                f"with {have:,} vectors to train on: {min(have, step.d_in):,} at most."
            )
    rotated = any(isinstance(step, faiss.OPQMatrix) for step in _transforms(index))
    # FAISS learns a rotation with codes of 8 bits, whatever those that follow
    wanted = max(256 if rotated else 0, *(_centroids(part) for part in parts(index)))
    if have < wanted:
        raise ValueError(
            f"factory: {factory} trains {wanted:,} centroids, with {have:,} vectors to train on. It takes {wanted:,} "
            f"at least and {ENOUGH * wanted:,} for good ones; with {have:,} vectors, up to {max(1, have // ENOUGH):,} "
            "centroids are well trained."
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


def restricted(index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Search among the allowed vectors: squared L2 distances and positions, each (q, k), -1 where a place is empty.

    With FAISS's own selector, and as many times farther (efSearch, nprobe) as there are vectors to an allowed one, so
    that about as many allowed ones are met as without a filter. Kinds that have no selector are asked for more hits,
    and those that aren't allowed are dropped.
    """
    bits = np.packbits(allowed, bitorder="little")
    farther = len(allowed) / max(1, int(allowed.sum()))
    # pytorch-metric-learning imports faiss.contrib.torch_utils, which puts a `search` without params in its place
    search = getattr(index, "search_numpy", index.search)
    try:
        return search(queries, k, params=_parameters(index, faiss.IDSelectorBitmap(bits), k, farther))
    except RuntimeError:  # FAISS: "selector not supported", "search params not supported for this index"
        return _overfetched(index, queries, k, allowed)


def _overfetched(index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    share = max(float(allowed.mean()), 1e-9)
    distances, positions = index.search(queries, min(index.ntotal, int(2 * k / share) + 1))
    counts = (positions >= 0) & allowed[positions]
    order = np.argsort(~counts, axis=1, kind="stable")[:, :k]  # those that count first, in their order
    found = np.take_along_axis(np.where(counts, positions, -1), order, axis=1)
    return np.take_along_axis(distances, order, axis=1), found


def _parameters(index: faiss.Index, selector: faiss.IDSelector, k: int, farther: float) -> faiss.SearchParameters:
    """Return an index's settings for searching `farther`, with a selector, as FAISS takes them for one call."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=_parameters(index.index, selector, k, farther))
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector, k, farther)
        return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        kind = faiss.IVFPQSearchParameters if isinstance(index, faiss.IndexIVFPQ) else faiss.SearchParametersIVF
        return kind(sel=selector, nprobe=min(index.nlist, ceil(index.nprobe * farther)))
    if isinstance(index, faiss.IndexHNSW):
        wide = ceil(max(index.hnsw.efSearch, k) * farther)
        return faiss.SearchParametersHNSW(sel=selector, efSearch=min(index.ntotal, wide))
    return faiss.SearchParameters(sel=selector)
