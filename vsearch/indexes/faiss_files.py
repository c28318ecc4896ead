from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import faiss
import numpy as np

from vsearch.indexes.faiss_kinds import nested

LIMIT = Lock()  # FAISS has one limit for the whole process


def read(path: Path, mmap: bool = False) -> faiss.Index:
    """Read an index; with `mmap`, flat vectors and inverted lists stay on disk until a search.

    Raises:
        RuntimeError: it isn't an index, or would take far more memory than its file.
    """
    flags = faiss.IO_FLAG_MMAP_IFC if mmap else 0
    with _limited(2 * path.stat().st_size):
        return _mended(faiss.read_index(str(path), flags))


def deserialized(data: np.ndarray) -> faiss.Index:
    """Return the index in uint8 (bytes,); RuntimeError: as for `read`."""
    with _limited(2 * data.nbytes):
        return _mended(faiss.deserialize_index(data))


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
    """Set a pointer that FAISS 1.15 doesn't save; without it, decoding crashes."""
    for one in nested(index):
        if isinstance(one, faiss.IndexIVFPQFastScan):
            one.fine_quantizer = one.pq
    return index
