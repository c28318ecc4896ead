from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import faiss

from vsearch.indexes.faiss_parts import mend

LIMIT = Lock()  # FAISS has one limit for the whole process


def read(path: Path, mmap: bool = False) -> faiss.Index:
    """Read an index; with `mmap`, flat vectors and inverted lists stay on the disk until they are searched.

    Raises:
        RuntimeError: it is no index, or would take far more memory than its file does.
    """
    with limited(2 * path.stat().st_size):
        return mend(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mmap else 0))


def in_memory(index: faiss.Index) -> faiss.Index:
    """Return a copy of a memory-mapped index that can be changed: FAISS ends the process when the mapped one is."""
    data = faiss.serialize_index(index)
    with limited(2 * data.nbytes):
        return mend(faiss.deserialize_index(data))


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """Let FAISS allocate at most that for one vector (a MiB at least) while it reads; the limit is put back."""
    with LIMIT:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(max(1 << 20, n_bytes))
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
