import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import faiss

from vsearch.indexes.faiss_parts import inverted, mend

LIMIT = Lock()  # FAISS has one limit for the whole process
LISTS = "index.ivfdata"  # inverted lists that FAISS merged on the disk


def read(path: Path, mmap: bool = False) -> faiss.Index:
    """Read an index; with `mmap`, flat vectors and inverted lists stay on the disk until they are
    searched.

    Lists in a file of their own stay there in any case. FAISS 1.15 ends the process when an index
    of such lists that was opened with IO_FLAG_MMAP is searched, and looks for them from the current
    folder: they are opened here.

    Raises:
        RuntimeError: it is no index, or would take far more memory than its file does.
    """
    apart = path.with_name(LISTS)
    with limited(2 * path.stat().st_size):
        if not apart.exists():
            return mend(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mmap else 0))
        index = mend(
            faiss.read_index(str(path), faiss.IO_FLAG_SKIP_IVF_DATA | faiss.IO_FLAG_READ_ONLY)
        )
    lists = on_disk(index)
    if lists is not None:
        lists.filename = str(apart)
        lists.do_mmap()
    return index


def in_memory(index: faiss.Index) -> faiss.Index:
    """Return a memory-mapped index as one that can be changed: FAISS ends the process when the
    mapped one is.
    """
    holder, lists = inverted(index), on_disk(index)
    if holder is not None and lists is not None:
        holder.replace_invlists(_copied(lists), True)
        return index
    data = faiss.serialize_index(index)
    with limited(2 * data.nbytes):
        return mend(faiss.deserialize_index(data))


def on_disk(index: faiss.Index) -> faiss.OnDiskInvertedLists | None:
    """Return an index's inverted lists, if they are in a file of their own."""
    holder = inverted(index)
    lists = None if holder is None else faiss.downcast_InvertedLists(holder.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None


def copy_lists(lists: faiss.OnDiskInvertedLists, folder: Path) -> None:
    """Have the file of lists in a folder too: linked, or copied where that can't be."""
    try:
        os.link(lists.filename, folder / LISTS)
    except OSError:
        shutil.copyfile(lists.filename, folder / LISTS)


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """Let FAISS allocate at most that for one vector (a MiB at least) while it reads; the limit is
    put back.
    """
    with LIMIT:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(max(1 << 20, n_bytes))
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def _copied(lists: faiss.OnDiskInvertedLists) -> faiss.InvertedLists:
    made = faiss.ArrayInvertedLists(lists.nlist, lists.code_size)
    for number in range(lists.nlist):
        if size := lists.list_size(number):
            made.add_entries(number, size, lists.get_ids(number), lists.get_codes(number))
    made.this.disown()  # the index's own from here on
    return made
