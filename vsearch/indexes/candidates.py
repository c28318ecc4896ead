from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import product

from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_kinds import ENOUGH

FEW = 1_000  # vectors; with fewer, searching only some saves nothing
IVF_FROM = 10_000
IVF_TO = 1_000_000
COMPONENTS = 128  # that graphs and lists hold, where vectors are much longer
CODED = (384, 256, 128, 64)  # components that are kept, in 8 or 4 bits, where labels decide
# As in hnswlib; with FAISS's own 40, a graph of a million finds less, however long it is searched
THOROUGH = {"efConstruction": 200.0}
NPROBE = (2, 4, 10, 20, 50, 100)
EF = (16, 32, 48, 64, 128, 256)
K_FACTOR = (4, 10, 30, 100)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A kind of index, and the settings to search it with."""

    make: Callable[[int], Index]  # given a number of vectors; not built yet
    settings: tuple[dict[str, float], ...] = ({},)  # for `FaissIndex.set`, measured one by one


def given(index: Index) -> Candidate:
    """Return the user's index as a candidate."""
    return Candidate(lambda n: deepcopy(index))


def candidates(
    n: int,
    dim: int,
    trained_on: int,
    seed: int = 0,
    threads: int | None = None,
    judged: bool = False,
) -> list[Candidate]:
    """Return candidates for n vectors of `dim` dimensions, simpler and more exact ones first.

    At every size: exact search, codes of 8 and 16 bits, graphs (HNSW, Malkov & Yashunin 2016), and
    4-bit codes in registers (André et al. 2015). Up to a million vectors: inverted lists (Jégou et
    al. 2011). Where vectors are long, graphs and lists have their first principal components in 8
    bits, and compare the best in full. If labels decide (`judged`), also codes of components, and a
    graph of them. A trial of few vectors (`trained_on`) has only the first three.
    """

    def faiss(factory: str, **parameter: tuple[float, ...]) -> Candidate:
        def make(size: int) -> Index:
            search = THOROUGH if "efSearch" in parameter else None
            text = factory.format(lists(size))  # {}: how many lists
            return FaissIndex(text, search, seed=seed, threads=threads)

        each = product(*parameter.values())
        return Candidate(make, tuple(dict(zip(parameter, values, strict=True)) for values in each))

    found = [Candidate(lambda size: ExactIndex(threads=threads)), faiss("SQfp16"), faiss("SQ8")]
    if n < FEW or trained_on < FEW:
        return found
    if dim < 2 * COMPONENTS:  # comparing components costs nearly as much
        in_lists = faiss("IVF{},Flat", nprobe=NPROBE)
        graph = faiss("HNSW16", efSearch=EF)
    else:
        pca = f"PCA{COMPONENTS}"
        in_lists = faiss(pca + ",IVF{},SQ8_direct,RFlat", nprobe=NPROBE, k_factor_rf=(3, 6))
        graph = faiss(pca + ",HNSW16_SQ8,RFlat", efSearch=EF, k_factor_rf=(3, 6, 10))
    if IVF_FROM <= n <= IVF_TO:
        found.append(in_lists)
    found.append(graph)
    if dim % 32 == 0:
        for refine in ("RFlat", "Refine(SQ8)"):
            found.append(faiss(f"PQ{dim // 8}x4fs,{refine}", k_factor_rf=K_FACTOR))
    if judged:
        found.append(faiss("SQ4"))
        for kept in CODED:
            if kept < dim:
                found += [faiss(f"PCA{kept},SQ8"), faiss(f"PCA{kept},SQ4")]
        if dim > 2 * COMPONENTS:
            found.append(faiss(f"PCA{2 * COMPONENTS},HNSW32,SQ8", efSearch=EF))
    return found


def lists(n: int) -> int:
    """Return how many inverted lists suit n vectors: 4 sqrt(n) as a power of two, as FAISS advises.

    That is few enough to leave each centroid enough training vectors.
    """
    most = max(1, int(min(4 * n**0.5, n / ENOUGH)))
    return 1 << (most.bit_length() - 1)
