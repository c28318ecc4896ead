import os
from pathlib import Path

import numpy as np
import pandas as pd

from vsearch.bundle.exports.choice import choose
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.new_items import embed_photos
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Runtime

TRIED = 16  # stored embeddings to compare with new ones before the others are used
SAME = 0.99  # with a lower cosine to a new one, a stored embedding is of another photo, or coded


def embeddings_of(bundle: Path, items: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Return unit vectors of readable photos, float32 (n, dim), and a line about their source.

    Photos with the same id and file name in the bundle get its stored vectors, if a sample of these
    still matches the photos; the network embeds the others.
    """
    live = open_live(bundle)
    runtime = choose(bundle, live.fitted).runtime
    stored = _stored(live, items)
    known = np.flatnonzero(stored >= 0)
    if len(known) and not _still_true(live, runtime, items, stored):
        known = known[:0]
    fresh = np.setdiff1d(np.arange(len(items)), known)
    vectors = np.empty((len(items), runtime.dim), dtype=np.float32)
    vectors[known] = live.vectors(stored[known])
    vectors[fresh] = _embedded(runtime, items.iloc[fresh])
    return vectors, f"{len(known):,} embeddings from the bundle, {len(fresh):,} computed"


def _stored(live: Live, items: pd.DataFrame) -> np.ndarray:
    """Return each item's position in the bundle, int (n,), or -1."""
    names = zip(live.items["id"].to_pylist(), live.items["path"].to_pylist(), strict=True)
    places = {(id, os.path.basename(path)): place for place, (id, path) in enumerate(names)}  # noqa: PTH119 (quick)
    ours = zip(items["id"], items["path"], strict=True)
    found = [places.get((id, os.path.basename(path)), -1) for id, path in ours]  # noqa: PTH119
    return np.array(found, dtype=np.int64)


def _still_true(live: Live, runtime: Runtime, items: pd.DataFrame, stored: np.ndarray) -> bool:
    """Return whether a sample of the stored embeddings matches the items' photos."""
    known = np.flatnonzero(stored >= 0)
    tried = np.sort(np.random.default_rng(0).permutation(known)[:TRIED])
    fresh = _embedded(runtime, items.iloc[tried])
    return bool(((fresh * live.vectors(stored[tried])).sum(1) >= SAME).all())


def _embedded(runtime: Runtime, items: pd.DataFrame) -> np.ndarray:
    found = embed_photos(runtime, items.reset_index(drop=True))
    if found.left_out:
        raise BundleError(f"photos changed while they were checked: {found.left_out[0]}")
    return found.embeddings
