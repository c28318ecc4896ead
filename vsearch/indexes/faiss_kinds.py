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
# what precedes the message in an error of FAISS
SOURCE = re.compile(r"^Error in .* at \S+:\d+: (Error: '.*' failed: )?(\w+::\w+:)?")
# factories of which shards can be joined
JOINED = re.compile(r"((PCA|OPQ|IVF|IMI)[^,]*,)*(Flat|SQ\w+|PQ\d+(x\d+)?(np)?|RaBitQ\d*)")
# the only factories in which components become bytes
WITH_BYTES = re.compile(r"PCA\d+,(IVF[^,]+,|HNSW\d+[,_])?SQ8_direct,R[^_]+")


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


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise FAISS's errors as a ValueError: what failed, and FAISS's message without its source."""
    try:
        yield
    except (RuntimeError, TypeError, OSError) as error:
        raise ValueError(f"{what}: {SOURCE.sub('', str(error))}") from error


def set_k_means(index: faiss.Index, seed: int) -> None:
    """Seed the k-means of lists and of codes, and limit the vectors that it takes for lists."""
    for one in nested(index):
        if isinstance(one, faiss.IndexIVF):
            one.cp.seed = seed + 1  # FAISS takes seeds from 1
            one.cp.max_points_per_centroid = PER_LIST
        if hasattr(one, "pq"):
            one.pq.cp.seed = seed + 1


def train_components(index: faiss.Index, vectors: np.ndarray) -> None:
    """Train a leading PCA on vectors (n, dim), unless it also rotates or whitens.

    FAISS would compute all axes, which takes a minute for 2,048 dimensions, and keep them in
    16 MiB, of which 64 components need 0.5.

    SQ8_direct keeps numbers as bytes. A unit vector's components are from -1 to 1, so 128 + 127
    times each is one; less the mean, it might not be. Turned axes use more of the bytes.
    """
    step = next(_transforms(index), None)
    if not isinstance(step, faiss.PCAMatrix) or step.eigen_power or step.random_rotation:
        return

    sample = vectors[:: 1 + len(vectors) // COMPONENTS_FROM]
    mean = sample.mean(axis=0)
    axes = principal_axes(sample - mean, step.d_out)
    if any(hasattr(one, "sq") and one.sq.qtype == BYTES for one in nested(index)):
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
    if "_direct" not in factory:
        return
    if not WITH_BYTES.fullmatch(factory):
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
    wanted = 0
    for step in _transforms(index):
        most = min(have, step.d_in)
        if isinstance(step, faiss.PCAMatrix) and step.d_out > most:
            raise ValueError(
                f"factory: {factory} needs {step.d_out:,} principal components, but {have:,} "
                f"training vectors of {step.d_in:,} dimensions give at most {most:,}."
            )
        if isinstance(step, faiss.OPQMatrix):
            wanted = 256  # FAISS always learns a rotation with 8-bit codes

    for one in nested(index):
        if isinstance(one, faiss.IndexIVF):
            wanted = max(wanted, one.nlist)
        if hasattr(one, "pq"):
            wanted = max(wanted, one.pq.ksub)
    if have < wanted:
        raise ValueError(
            f"factory: {factory} trains {wanted:,} centroids, but there are {have:,} training "
            f"vectors. It needs {ENOUGH * wanted:,} for good centroids; {have:,} vectors can train "
            f"up to {max(1, have // ENOUGH):,} well."
        )


def check_mergeable(factory: str) -> None:
    """Refuse kinds whose shards FAISS can't join, or joins wrongly (packed codes, Panorama)."""
    if not JOINED.fullmatch(factory):
        raise ValueError(
            f"factory: shards of {factory} can't be joined. Only Flat, SQ, PQ and RaBitQ can be, "
            "also in IVF or IMI and after PCA or OPQ: IVF1024,PQ64. Graphs, x4fs and RFlat can't."
        )


def _transforms(index: faiss.Index) -> Iterator[faiss.VectorTransform]:
    for one in nested(index):
        if isinstance(one, faiss.IndexPreTransform):
            for number in range(one.chain.size()):
                yield faiss.downcast_VectorTransform(one.chain.at(number))
