import re
from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np

from vsearch.indexes.prefix_bound import principal_axes, turned

# vectors per centroid below which FAISS warns (faiss/Clustering.h, min_points_per_centroid)
ENOUGH = 39
PER_LIST = 64  # vectors that find a list's centroid; with FAISS's own 256, lists find no more
COMPONENTS_FROM = 20_000  # most vectors to compute principal components from
BYTES = faiss.ScalarQuantizer.QT_8bit_direct
SIGNED = faiss.ScalarQuantizer.QT_8bit_direct_signed


def nested(index: faiss.Index) -> Iterator[faiss.Index]:
    """Yield an index and those inside it, outermost first."""
    index = faiss.downcast_index(index)
    yield index
    for name in ("index", "base_index", "refine_index", "storage", "quantizer"):
        inner = getattr(index, name, None)
        if isinstance(inner, faiss.Index):
            yield from nested(inner)


def inverted(index: faiss.Index) -> faiss.IndexIVF | None:
    """Return the inverted lists in an index, if it has any."""
    return next((one for one in nested(index) if isinstance(one, faiss.IndexIVF)), None)


def reason(error: Exception) -> str:
    """Return FAISS's message without the C++ functions and source file."""
    if not isinstance(error, RuntimeError):
        return str(error)
    return re.sub(r"^\w+(::\w+)+:", "", str(error).rpartition(": ")[2])


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise FAISS's errors as a ValueError that says what failed."""
    try:
        yield
    except RuntimeError as error:
        raise ValueError(f"{what}: {reason(error)}") from error


def set_k_means(index: faiss.Index, seed: int) -> None:
    """Seed every k-means that the index trains, and limit what those of inverted lists take."""
    lists = inverted(index)
    if lists is not None:
        lists.cp.max_points_per_centroid = PER_LIST
    for one in nested(index):
        for holder in (one, getattr(one, "pq", None), getattr(one, "rq", None)):
            if holder is not None and hasattr(holder, "cp"):
                holder.cp.seed = seed + 1  # FAISS takes seeds from 1


def train_components(index: faiss.Index, vectors: np.ndarray) -> None:
    """Train a leading PCA on vectors (n, dim) instead of FAISS.

    FAISS computes all axes, which takes a minute for 2,048 dimensions, and keeps them in 16 MiB, of
    which 64 components need 0.5. FAISS itself trains PCA with a rotation or whitening.

    SQ8_direct keeps numbers as bytes. A unit vector's components are from -1 to 1, so 128 + 127
    times each is one; less the mean, it might not be. Turned axes spread vectors alike, which uses
    more of the bytes.
    """
    step = _pca(index)
    if step is None:
        return
    sample = vectors[:: 1 + len(vectors) // COMPONENTS_FROM]
    mean = sample.mean(axis=0)
    axes = principal_axes(sample - mean, step.d_out)
    if BYTES in _scalar_kinds(index):
        axes = 127 * turned(axes)
        offset = np.full(step.d_out, 128)
    else:
        offset = -mean @ axes
    faiss.copy_array_to_vector(axes.T.astype(np.float32).ravel(), step.A)
    faiss.copy_array_to_vector(offset.astype(np.float32), step.b)
    step.is_trained = True
    step.set_is_orthonormal()


def prepare_bytes(index: faiss.Index, factory: str) -> None:
    """Let lists keep bytes themselves instead of differences, or refuse what wouldn't get bytes."""
    kinds = _scalar_kinds(index)
    if BYTES not in kinds and SIGNED not in kinds:
        return
    outermost = faiss.downcast_index(index)
    refined = isinstance(outermost, faiss.IndexRefine)
    only_pca = _pca(index) is not None and len([*_transforms(index)]) == 1
    if (
        not (refined and only_pca)
        or SIGNED in kinds
        or BYTES in _scalar_kinds(outermost.refine_index)
    ):
        raise ValueError(
            f"factory: {factory} can't be: components as bytes need PCA alone before and RFlat "
            "after them: PCA128,IVF1024,SQ8_direct,RFlat. Elsewhere take SQ8."
        )
    lists = inverted(index)
    if lists is not None:
        lists.by_residual = False


def check_l2(index: faiss.Index, factory: str) -> None:
    """Refuse kinds whose distances aren't squared L2."""
    for one in nested(index):
        if isinstance(one, faiss.IndexLSH | faiss.IndexIVFSpectralHash):
            raise ValueError(
                f"factory: {factory} counts different bits ({type(one).__name__}), which gives no "
                "cosine. RaBitQ takes as little memory: one bit per dimension."
            )


def check_enough(index: faiss.Index, factory: str, n: int, train_sample: int | None) -> None:
    """Refuse to train more centroids or principal components than n vectors can train."""
    have = min(n, train_sample or n)
    for step in _transforms(index):
        most = min(have, step.d_in)
        if isinstance(step, faiss.PCAMatrix) and step.d_out > most:
            raise ValueError(
                f"factory: {factory} needs {step.d_out:,} principal components, but {have:,} "
                f"training vectors of {step.d_in:,} dimensions give at most {most:,}."
            )

    wanted = max(_centroids(one) for one in nested(index))
    if any(isinstance(step, faiss.OPQMatrix) for step in _transforms(index)):
        wanted = max(256, wanted)  # FAISS always learns a rotation with 8-bit codes
    if have < wanted:
        raise ValueError(
            f"factory: {factory} trains {wanted:,} centroids, but there are {have:,} training "
            f"vectors. It needs at least {wanted:,}, and {ENOUGH * wanted:,} for good centroids; "
            f"{have:,} vectors can train up to {max(1, have // ENOUGH):,} centroids well."
        )


def check_mergeable(index: faiss.Index, factory: str) -> None:
    """Refuse kinds whose shards FAISS can't join, or joins wrongly: packed codes (x4fs)."""
    inner = next(one for one in nested(index) if not isinstance(one, faiss.IndexPreTransform))
    if isinstance(inner, faiss.IndexIVFFastScan) or not isinstance(
        inner, faiss.IndexIVF | faiss.IndexFlatCodes
    ):
        raise ValueError(
            f"factory: shards of {factory} can't be joined. Only Flat, SQ, PQ or RaBitQ can be, "
            "also in IVF, and after OPQ or PCA: IVF1024,PQ64. Graphs (HNSW), packed codes (x4fs) "
            "and a refinement (RFlat) can't."
        )


def _pca(index: faiss.Index) -> faiss.PCAMatrix | None:
    """Return a leading PCA without rotation or whitening, if there is one."""
    step = next(_transforms(index), None)
    plain = isinstance(step, faiss.PCAMatrix) and not (step.eigen_power or step.random_rotation)
    return step if plain else None


def _scalar_kinds(index: faiss.Index) -> set[int]:
    """Return the kinds of scalar quantizer in an index, by FAISS's numbers."""
    return {one.sq.qtype for one in nested(index) if hasattr(one, "sq")}


def _centroids(index: faiss.Index) -> int:
    codes = getattr(index, "pq", None)
    return max(getattr(index, "nlist", 0), codes.ksub if codes is not None else 0)


def _transforms(index: faiss.Index) -> Iterator[faiss.VectorTransform]:
    for one in nested(index):
        if isinstance(one, faiss.IndexPreTransform):
            for number in range(one.chain.size()):
                yield faiss.downcast_VectorTransform(one.chain.at(number))
