from math import ceil

import faiss
import numpy as np

from vsearch.indexes.faiss_kinds import nested

# Squared L2 distances and positions, each (q, k), as FAISS returns them
Found = tuple[np.ndarray, np.ndarray]
# times efSearch: a walk among 2,048-d photos that met as many allowed ones found what others find
ENOUGH = 2


def whole(index: faiss.Index) -> faiss.IndexFlat | None:
    """Return the vectors that an index keeps in full (a graph's, those compared again), if any."""
    index = faiss.downcast_index(index)
    for kept in (index, getattr(index, "storage", None), getattr(index, "refine_index", None)):
        flat = faiss.downcast_index(kept)
        if isinstance(flat, faiss.IndexFlat):
            return flat
    return None


def among(vectors: faiss.IndexFlat, queries: np.ndarray, k: int, positions: np.ndarray) -> Found:
    """Compare queries with the vectors at int64 (m,) positions, m at least k."""
    selector = faiss.IDSelectorArray(positions)
    return _search(vectors, queries, k, faiss.SearchParameters(sel=selector))


def restricted(index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray) -> Found:
    """Search among k or more allowed vectors; a last position of -1 says that some may be missing.

    It uses FAISS's selector, and searches as many times farther (efSearch, nprobe) as there are
    vectors per allowed one. If a walk through a graph meets fewer than ENOUGH times efSearch, the
    allowed ones lie elsewhere, and it may have missed some. Kinds without a selector are asked for
    more hits, and the ones that aren't allowed are dropped.
    """
    n_allowed = int(allowed.sum())
    farther = len(allowed) / n_allowed
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    met = min(max(k, ENOUGH * _kept(index)), n_allowed)
    try:
        parameters = _parameters(index, selector, k, farther, k / met)
        distances, positions = _search(index, queries, met, parameters)
    except RuntimeError:  # this kind has no selector or no parameters
        return _overfetched(index, queries, k, allowed, farther)
    positions[positions[:, -1] < 0, k - 1] = -1
    return distances[:, :k], positions[:, :k]


def _search(
    index: faiss.Index, queries: np.ndarray, k: int, parameters: faiss.SearchParameters
) -> Found:
    # pytorch-metric-learning imports faiss.contrib.torch_utils, which replaces it by a `search`
    # without params
    return getattr(index, "search_numpy", index.search)(queries, k, params=parameters)


def _overfetched(
    index: faiss.Index, queries: np.ndarray, k: int, allowed: np.ndarray, farther: float
) -> Found:
    distances, positions = index.search(queries, min(index.ntotal, int(2 * k * farther) + 1))
    counts = (positions >= 0) & allowed[positions]
    order = np.argsort(~counts, axis=1, kind="stable")[:, :k]  # allowed ones first
    found = np.take_along_axis(np.where(counts, positions, -1), order, axis=1)
    return np.take_along_axis(distances, order, axis=1), found


def _kept(index: faiss.Index) -> int:
    """Return how many vectors a graph's walk keeps without a filter; 0 for other kinds."""
    for one in nested(index):
        if isinstance(one, faiss.IndexIVF):
            return 0  # a graph inside it is one of centroids
        if isinstance(one, faiss.IndexHNSW):
            return one.hnsw.efSearch
    return 0


def _parameters(
    index: faiss.Index, selector: faiss.IDSelector, k: int, farther: float, share: float = 1
) -> faiss.SearchParameters:
    """Return an index's settings for one search, `farther` and with a selector.

    `share`: of the requested hits, the share that counts; the others aren't compared again.
    """
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        inner = _parameters(index.index, selector, k, farther)
        return faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexRefine):
        inner = _parameters(index.base_index, selector, k, farther)
        k_factor = max(1, index.k_factor * share)
        return faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=ceil(index.nprobe * farther))
    if isinstance(index, faiss.IndexHNSW):
        ef = ceil(max(index.hnsw.efSearch, k) * farther)
        return faiss.SearchParametersHNSW(sel=selector, efSearch=ef)
    return faiss.SearchParameters(sel=selector)
