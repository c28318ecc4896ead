from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import faiss
import numpy as np

from vsearch.indexes.faiss_kinds import nested

LIMIT = Lock()  # FAISS has one limit for the whole process
# Tables of IVF with PQ may be larger than the file, and than the limit
WITHOUT_TABLES = faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE


def read(path: Path, mmap: bool = False) -> faiss.Index:
    """Read an index; with `mmap`, flat vectors and inverted lists stay on disk until a search.

    Raises:
        RuntimeError: it isn't an index, or would take far more memory than its file.
    """
    flags = WITHOUT_TABLES | (faiss.IO_FLAG_MMAP_IFC if mmap else 0)
    with _limited(2 * path.stat().st_size):
        index = faiss.read_index(str(path), flags)
    return _mended(index)


def deserialized(data: np.ndarray) -> faiss.Index:
    """Return the index in uint8 (bytes,); RuntimeError: as for `read`."""
    with _limited(2 * data.nbytes):
        index = faiss.deserialize_index(data, WITHOUT_TABLES)
    return _mended(index)


@contextmanager
def _limited(n_bytes: int) -> Iterator[None]:
    """Limit FAISS's allocation for one vector while it reads; 1 MiB is always allowed."""
    with LIMIT:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(max(1 << 20, n_bytes))
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def _mended(index: faiss.Index) -> faiss.Index:
    """Compute tables, and set a pointer that FAISS 1.15 doesn't save, or decoding crashes."""
    for one in nested(index):
        if isinstance(one, faiss.IndexIVFPQFastScan):
            one.fine_quantizer = one.pq
        if hasattr(one, "precompute_table"):
            one.precompute_table()
    return index
