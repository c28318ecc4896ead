import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import faiss
import numpy as np
from faiss.contrib.ondisk import merge_ondisk

from vsearch.indexes.faiss_kinds import inverted, nested

LIMIT = Lock()  # FAISS has one limit for the whole process
LISTS = "index.ivfdata"  # inverted lists that FAISS merged on disk


def read(path: Path, mmap: bool = False) -> faiss.Index:
    """Read an index; with `mmap`, flat vectors and inverted lists stay on disk until a search.

    Lists in a separate file always stay there. They are opened here, since FAISS 1.15 looks for
    them from the current folder, and ends the process if IO_FLAG_MMAP is set too.

    Raises:
        RuntimeError: it isn't an index, or would take far more memory than its file.
    """
    lists_path = path.with_name(LISTS)
    if lists_path.exists():
        flags = faiss.IO_FLAG_SKIP_IVF_DATA | faiss.IO_FLAG_READ_ONLY
    else:
        flags = faiss.IO_FLAG_MMAP_IFC if mmap else 0
    with _limited(2 * path.stat().st_size):
        index = _mended(faiss.read_index(str(path), flags))

    lists = on_disk(index) if lists_path.exists() else None
    if lists is not None:
        lists.filename = str(lists_path)
        lists.do_mmap()
    return index


def in_memory(index: faiss.Index) -> faiss.Index:
    """Return a mapped index as a changeable one: FAISS would end the process on a change."""
    holder = inverted(index)
    lists = on_disk(index)
    if holder is not None and lists is not None:
        copied = faiss.ArrayInvertedLists(lists.nlist, lists.code_size)
        lists.copy_subset_to(copied, lists.SUBSET_TYPE_ID_RANGE, 0, index.ntotal)
        holder.replace_invlists(copied, True)
        copied.this.disown()  # from here on the index owns it
        return index
    return deserialized(faiss.serialize_index(index))


def deserialized(data: np.ndarray) -> faiss.Index:
    """Return the index in uint8 (bytes,); RuntimeError: as for `read`."""
    with _limited(2 * data.nbytes):
        return _mended(faiss.deserialize_index(data))


def on_disk(index: faiss.Index) -> faiss.OnDiskInvertedLists | None:
    """Return an index's inverted lists, if they are in a separate file."""
    holder = inverted(index)
    lists = None if holder is None else faiss.downcast_InvertedLists(holder.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None


def copy_lists(lists: faiss.OnDiskInvertedLists, folder: Path) -> None:
    """Link the file of lists into a folder, or copy it if linking fails."""
    try:
        os.link(lists.filename, folder / LISTS)
    except OSError:
        shutil.copyfile(lists.filename, folder / LISTS)


def merged(shards: Sequence[Path], lists: Path | None = None) -> faiss.Index:
    """Return one index with the contents of several files, in order, that were trained together.

    Inverted lists must have been filled with their final positions: FAISS 1.15 would shift those of
    the second shard by its own length, not by the first shard's.

    Args:
        shards: the files; read one by one, so that only the result must fit in memory.
        lists: a new file to merge inverted lists into; None: in memory.

    Raises:
        RuntimeError: one isn't an index, or they are of different kinds.
    """
    index = read(shards[0])
    if lists is not None and inverted(index) is not None:
        index.reset()
        merge_ondisk(index, [*map(str, shards)], str(lists))
        return index
    for path in shards[1:]:
        shard = read(path)
        index.check_compatible_for_merge(shard)
        index.merge_from(shard, 0)  # adds 0 to the positions
    return index


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
