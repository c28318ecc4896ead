from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Published:
    """A generation made of shards; `kept`: how many earlier items it includes."""

    state: State
    index: Index
    kept: int


def publish(live: Live, shards: Shards, new: pa.Table) -> Published:
    """Publish the shards' items, and the live items that they don't replace, as a new generation.

    Needs `writer_lock.writing`.

    Args:
        new: the shards' items, in order: id, path, label, metadata.

    Raises:
        BundleError: ids are repeated, columns don't fit, or shards are missing or damaged.
    """
    if repeated := repeated_ids(new):
        raise BundleError(f"ids are repeated, e.g. {repeated[0]!r}.")
    new = conform(new, live.items)
    kept = np.flatnonzero(~pc.is_in(live.items["id"], new["id"]).to_numpy())
    carried = live.vectors(kept)
    with explained(shards.work, "joining the shards"):
        index = shards.joined(carried)

    def vectors(positions: np.ndarray) -> np.ndarray:
        made = np.empty((len(positions), shards.parts.dim), dtype=np.float32)
        ours = positions < len(new)
        made[ours] = shards.parts.vectors(positions[ours])
        made[~ours] = carried[positions[~ours] - len(new)]
        return made

    items = joined(new, live.items.take(pa.array(kept)))
    state = promote(replace(live, items=items), index, vectors, "shards")
    return Published(state, index, len(kept))
