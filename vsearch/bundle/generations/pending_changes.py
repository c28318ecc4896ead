from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.table_columns import joined
from vsearch.errors import BundleError

Content = tuple[
    list[str], pa.Table, np.ndarray
]  # of a change: ids that go, rows that come, their embeddings


@dataclass(frozen=True)
class Net:
    """What several changes come to, on top of a generation.

    Attributes:
        removed: int (r,), rising: positions in the generation that go.
        items: rows that come after those that stay.
        embeddings: theirs, float32 (len(items), dim).
    """

    removed: np.ndarray
    items: pa.Table
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.removed) + len(self.items)

    def kept(self, n: int) -> np.ndarray:
        """Return int (n - r,): the positions that stay, of a generation of `n`."""
        return np.delete(np.arange(n), self.removed)

    def applied(self, items: pa.Table) -> pa.Table:
        """Return the generation's items with the changes made; the same object if there are none."""
        if not len(self):
            return items
        return joined(items.take(pa.array(self.kept(len(items)))), self.items)


def net(ids: Sequence[str], dim: int, changes: Iterable[Content]) -> Net:
    """Add changes up: what is added and taken out again leaves nothing.

    Args:
        ids: of the generation's items.
        dim: of the embeddings.
        changes: in order; each on top of those before.

    Raises:
        BundleError: a change takes out an id that isn't there, or adds one that is.
    """
    there = dict(zip(ids, range(len(ids)), strict=True))
    removed: list[int] = []
    came: dict[str, tuple[int, int]] = {}
    tables = [pa.table({"id": pa.array([], pa.string())})]
    embeddings = [np.empty((0, dim), dtype=np.float32)]
    for removals, items, vectors in changes:
        for id in removals:
            if id in came:
                del came[id]
            elif id in there:
                removed.append(there.pop(id))
            else:
                raise BundleError(f"a change takes out id {id!r}, which is not there.")
        for row, id in enumerate(items["id"].to_pylist()):
            if id in came or id in there:
                raise BundleError(f"a change adds id {id!r}, which is there already.")
            came[id] = (len(tables), row)
        tables.append(items)
        embeddings.append(vectors if len(items) else embeddings[0])
    starts = np.cumsum([0, *map(len, tables)])
    rows = np.array([starts[table] + row for table, row in came.values()], dtype=np.int64)
    added = joined(*tables).take(pa.array(rows))
    return Net(np.sort(np.array(removed, dtype=np.int64)), added, np.concatenate(embeddings)[rows])
