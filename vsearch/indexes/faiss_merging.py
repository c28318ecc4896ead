from collections.abc import Sequence
from pathlib import Path

import faiss
from faiss.contrib.ondisk import merge_ondisk

from vsearch.indexes.faiss_files import read
from vsearch.indexes.faiss_parts import inverted


def check_mergeable(index: faiss.Index, factory: str) -> None:
    """Refuse kinds whose shards FAISS 1.15 can't join, or joins to something else.

    It ends the process where inverted lists hold packed codes (x4fs), and finds other hits with a
    multi-index.

    Raises:
        ValueError: says which kinds it can join.
    """
    inner = faiss.downcast_index(index)
    while isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    lists = isinstance(inner, faiss.IndexIVF) and not isinstance(
        inner, faiss.IndexIVFFastScan | faiss.IndexIVFPQR
    )
    multiple = lists and isinstance(
        faiss.downcast_index(inner.quantizer), faiss.MultiIndexQuantizer
    )
    if multiple or not (lists or isinstance(inner, faiss.IndexFlatCodes)):
        raise ValueError(
            f"factory: shards of {factory} can't be joined. Those of IVF with Flat, SQ, PQ or "
            "RaBitQ can, and those of Flat, SQ, PQ or RaBitQ alone, with OPQ or PCA before it or "
            "not: IVF1024,PQ64. Graphs (HNSW), packed codes (x4fs), a refinement (RFlat) and IMI "
            "can't."
        )


def merged(shards: Sequence[Path], lists: Path | None = None) -> faiss.Index:
    """Return an index of what several have, one after the other, that were trained together.

    Inverted lists must have been filled with the positions that they are to have: FAISS 1.15 would
    shift those of the second shard by its own length, not by that of the first.

    Args:
        shards: their files.
        lists: a file to be made, that inverted lists are merged into; None: in memory. Then the
            shards are read one by one, and the result alone must fit.

    Raises:
        RuntimeError: one is no index, or they are of different kinds.
    """
    index = read(shards[0])
    if lists is not None and inverted(index) is not None:
        index.reset()
        merge_ondisk(index, [*map(str, shards)], str(lists))
        return index
    for path in shards[1:]:
        shard = read(path)
        index.check_compatible_for_merge(shard)
        index.merge_from(shard, 0)  # nothing is added to positions
    return index
