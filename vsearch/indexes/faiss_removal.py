import faiss
import numpy as np

from vsearch.indexes.faiss_kinds import nested

# FAISS can't link an NSG graph a second time, and loses or keeps wrong codes in the others
NO_REMOVAL = (
    faiss.IndexNSG,
    faiss.IndexIVFPQR,
    faiss.IndexIVFFastScan,
    faiss.IndexRaBitQFastScan,
)


def remove(index: faiss.Index, positions: np.ndarray) -> None:
    """Remove the vectors at int (m,) positions; the others close up.

    Codes close up by themselves, and inverted lists are renumbered. Graphs are linked again, and
    packed codes (x4fs) made again of decoded vectors, which take as much memory as vectors do.

    Raises:
        ValueError: this kind can't do it; the index is unchanged.
    """
    for one in nested(index):
        if isinstance(one, NO_REMOVAL):
            raise ValueError(
                f"FAISS can't remove vectors from {type(one).__name__}. Rebuild it without them."
            )
    _remove(index, np.unique(positions).astype(np.int64))


def _remove(index: faiss.Index, positions: np.ndarray) -> None:
    index = faiss.downcast_index(index)
    kept = np.setdiff1d(np.arange(index.ntotal), positions)
    if isinstance(index, faiss.IndexPreTransform):
        _remove(index.index, positions)
    elif isinstance(index, faiss.IndexRefine):
        _remove(index.base_index, positions)
        _remove(index.refine_index, positions)
    elif isinstance(index, faiss.IndexIVF):
        _remove_from_lists(index, positions, kept)
    elif isinstance(index, faiss.IndexFlatCodes):
        index.remove_ids(positions)
    else:
        stay = index.reconstruct_batch(kept)
        index.reset()
        if len(stay):  # packed codes crash if nothing is added
            index.add(stay)
    index.ntotal = len(kept)


def _remove_from_lists(index: faiss.IndexIVF, positions: np.ndarray, kept: np.ndarray) -> None:
    lists = faiss.downcast_InvertedLists(index.invlists)
    index.set_direct_map_type(faiss.DirectMap.NoMap)
    index.remove_ids(positions)

    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
            ids[:] = np.searchsorted(kept, ids)
