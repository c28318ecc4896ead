from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.bundle.bulk.shards import Shards
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.promote import promote
from vsearch.bundle.generations.state import State
from vsearch.bundle.generations.table_columns import conform, joined
from vsearch.data.items import repeated_ids
from vsearch.errors import BundleError
from vsearch.indexes.base import Index


def publish(live: Live, shards: Shards, new: pa.Table) -> tuple[State, Index, int]:
    """Join shards, and put what they hold in force with those of the live items that they don't.
    Needs `lock.writing`.

    Args:
        live: what is in force.
        shards: all of them there.
        new: the items of their embeddings, in order: id, path, label, metadata.

    Returns:
        The state, the index, and how many of the live items it took over. An item that both have is
        replaced.

    Raises:
        BundleError: ids are repeated, columns don't fit, or shards are missing or damaged.
        OSError: it could not be written; nothing has changed.
    """
    if repeated := repeated_ids(new):
        raise BundleError(f"ids are repeated, e.g. {repeated[0]!r}.")
    new, n = conform(new, live.items), len(new)
    kept = np.flatnonzero(~pc.is_in(live.items["id"], new["id"]).to_numpy())
    carried = live.vectors(kept)
    with explained(shards.work, "joining the shards"):
        index = shards.joined(carried)

    def vectors(positions: np.ndarray) -> np.ndarray:
        made, ours = np.empty((len(positions), shards.parts.dim), dtype=np.float32), positions < n
        made[ours], made[~ours] = (
            shards.parts.vectors(positions[ours]),
            carried[positions[~ours] - n],
        )
        return made

    items = joined(new, live.items.take(pa.array(kept)))
    counted = {"built": len(index), "added": 0, "removed": 0}
    return promote(replace(live, items=items), index, vectors, "shards", counted), index, len(kept)
