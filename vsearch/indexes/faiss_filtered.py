from math import ceil

import faiss
import numpy as np

Answer = tuple[
    np.ndarray, np.ndarray
]  # squared L2 distances and positions, each (q, k), as FAISS gives them
# times efSearch: a walk among 2,048-d photos that met as many allowed ones found what others find
ENOUGH = 2


def whole(index: faiss.Index) -> faiss.IndexFlat | None:
    """Return the whole vectors that an index keeps by position (a graph's, those compared again),
    if it does.

    They are the index's own memory: good as long as it is.
    """
    index = faiss.downcast_index(index)
    for kept in (index, getattr(index, "storage", None), getattr(index, "refine_index", None)):
        flat = None if kept is None else faiss.downcast_index(kept)
        if isinstance(flat, faiss.IndexFlat):
            return flat
    return None


def among(vectors: faiss.IndexFlat, queries: np.ndarray, k: int, positions: np.ndarray) -> Answer:
    """Compare queries with the vectors at int64 (m,) positions, m at least k, where they lie:
    nothing is copied.
    """
    return _search(
        vectors, queries, k, faiss.SearchParameters(sel=faiss.IDSelectorArray(positions))
    )


def restricted(index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray) -> Answer:
    """Search among the allowed vectors; a query that the index can't answer well has position -1 in
    its last place.

    With FAISS's own selector, and as many times farther (efSearch, nprobe) as there are vectors to
    an allowed one, so that about as many allowed ones are met as without a filter, if they lie
    anywhere. A graph is walked from near to far: where it meets fewer than ENOUGH times what a walk
    without a filter keeps (efSearch), the allowed ones lie elsewhere, and it may have missed some.
    Kinds that have no selector are asked for more hits, and those that aren't allowed are dropped.
    """
    n_allowed = int(allowed.sum())
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    met = min(max(k, ENOUGH * _kept(index)), n_allowed)
    try:
        wishes = _parameters(index, selector, k, len(allowed) / max(1, n_allowed), k / met)
        distances, positions = _search(index, queries, met, wishes)
    except (
        RuntimeError
    ):  # FAISS: "selector not supported", "search params not supported for this index"
        return _overfetched(index, queries, k, allowed)
    positions[positions[:, -1] < 0, k - 1] = -1
    return distances[:, :k], positions[:, :k]


def _search(
    index: faiss.Index, queries: np.ndarray, k: int, wishes: faiss.SearchParameters
) -> Answer:
    # pytorch-metric-learning imports faiss.contrib.torch_utils, which puts a `search` without
    # params in its place
    return getattr(index, "search_numpy", index.search)(queries, k, params=wishes)


def _overfetched(index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray) -> Answer:
    share = max(float(allowed.mean()), 1e-9)
    distances, positions = index.search(queries, min(index.ntotal, int(2 * k / share) + 1))
    counts = (positions >= 0) & allowed[positions]
    order = np.argsort(~counts, axis=1, kind="stable")[
        :, :k
    ]  # those that count first, in their order
    found = np.take_along_axis(np.where(counts, positions, -1), order, axis=1)
    return np.take_along_axis(distances, order, axis=1), found


def _kept(index: faiss.Index) -> int:
    """Return how many vectors a walk through an index's graph keeps without a filter; 0 for other
    kinds.
    """
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return _kept(index.index)
    if isinstance(index, faiss.IndexRefine):
        return _kept(index.base_index)
    return index.hnsw.efSearch if isinstance(index, faiss.IndexHNSW) else 0


def _parameters(
    index: faiss.Index, selector: faiss.IDSelector, k: int, farther: float, share: float = 1
) -> faiss.SearchParameters:
    """Return an index's settings for searching `farther`, with a selector, as FAISS takes them for
    one call.

    `share`: of the hits asked for, how many count; so many times fewer of them are compared again.
    """
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(
            index_params=_parameters(index.index, selector, k, farther)
        )
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector, k, farther)
        return faiss.IndexRefineSearchParameters(
            k_factor=max(1, index.k_factor * share), base_index_params=inner
        )
    if isinstance(index, faiss.IndexIVF):
        kind = (
            faiss.IVFPQSearchParameters
            if isinstance(index, faiss.IndexIVFPQ)
            else faiss.SearchParametersIVF
        )
        return kind(sel=selector, nprobe=min(index.nlist, ceil(index.nprobe * farther)))
    if isinstance(index, faiss.IndexHNSW):
        wide = ceil(max(index.hnsw.efSearch, k) * farther)
        return faiss.SearchParametersHNSW(sel=selector, efSearch=min(index.ntotal, wide))
    return faiss.SearchParameters(sel=selector)
