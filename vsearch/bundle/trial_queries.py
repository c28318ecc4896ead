from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle import canaries
from vsearch.bundle.exports.choice import choose
from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.live import Live, manifests, open_state
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.state import State, read_state
from vsearch.bundle.generations.swap_trial import Queries
from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.samples import drawn
from vsearch.data.items import read_table
from vsearch.errors import BundleError

QUERIES = "queries.parquet"  # the run's test queries, see `comparing.runs`
OURS = 0.99  # cosine from which an index's vector counts as an embedding made in bfloat16
OURS_IN_CODES = 0.5  # the same for an index that keeps codes
CODES = 0.9999  # cosine below which an index keeps codes, not the embedding


def trial_queries(live: Live, vectors: np.ndarray, n: int) -> tuple[Queries, str]:
    """Return up to `n` of the run's test photos, or else of the items, with a description."""
    table = run_queries(live)
    if table is not None:
        asked = table.take(pa.array(drawn(len(table), n)))
        runtime = choose(live.bundle, live.fitted, "auto", "float32").runtime
        found = embed_photos(runtime, asked, "Embedding test queries")
        if len(found.items):
            own = live.rows_of(found.items["id"].to_pylist())
            text = f"{len(own):,} of the run's test photos; {len(found.left_out):,} can't be read"
            return Queries(found.embeddings, found.items["label"].to_numpy(), own), text
    rows = drawn(len(vectors), n)
    whole = vectors if vectors.ndim == 2 else vectors[:, 0]
    held_out = Queries(whole[rows], live.items["label"].to_numpy()[rows], rows)
    return held_out, f"{len(rows):,} of the items, held out: the bundle has no test photos"


def run_queries(live: Live) -> pa.Table | None:
    """Return the run's test queries as items; None: it kept none."""
    if QUERIES not in live.fitted["sha256"]:
        return None
    check_file(live.bundle, QUERIES, live.fitted)
    return read_table(live.bundle / QUERIES, live.photos_root)


def codes_warning(live: Live) -> str | None:
    """Return a warning if the bundle has only an index's codes, not the vectors."""
    # an exact index has whole vectors; if a fit's are bfloat16, they differ from the canaries'
    if live.stored or live.index.exact or canaries.FILE not in live.fitted["sha256"]:
        return None
    check_file(live.bundle, canaries.FILE, live.fitted)
    ids = live.items["id"].slice(0, live.from_generation).to_pylist()
    places = {id: place for place, id in enumerate(ids)}
    with explained(live.bundle, "reading the vectors"):
        cosines = canaries.in_index(live.bundle, places, live.vectors)
    middle = float(np.median(cosines)) if len(cosines) else 1.0  # a few may have new photos
    if middle >= CODES:
        return None
    return (
        "this index keeps codes, and the bundle doesn't keep the vectors (cosine "
        f"{middle:.4f}): an index built from codes is less exact than one built from photos."
    )


def belong_together(bundle: Path) -> Iterator[str]:
    """Compare the embeddings of a bundle's stored photos with their vectors in the fit's index and
    in the current one. Yield a line for each.

    Raises:
        BundleError: the vectors of an index aren't those of the network.
    """
    state, history = read_state(bundle)
    fitted, manifest = manifests(bundle, state)
    if canaries.FILE not in fitted["sha256"]:
        yield "index: the bundle has no canaries to compare it with"
        return
    digest = manifest["fitted_sha256"] if state.generation else state.manifest_sha256
    first = open_state(bundle, State(0, digest), [])
    check_file(bundle, canaries.FILE, fitted)
    paths = dict(zip(first.items["id"].to_pylist(), first.items["path"].to_pylist(), strict=True))
    for live in (first, open_state(bundle, state, history)):
        # an item whose path has changed has been replaced
        ids = enumerate(live.items["id"].to_pylist())
        where = live.items["path"].to_pylist()
        places = {id: place for place, id in ids if paths.get(id) == where[place]}
        yield _agreement(live, places, all_there=live is first)


def _agreement(live: Live, places: dict[str, int], all_there: bool) -> str:
    name = f"generation {live.state.generation}"
    try:
        cosines = canaries.in_index(live.bundle, places, live.vectors)
    except ValueError as error:
        return f"{name}: the index can't give its vectors back ({error})"
    if all_there and len(cosines) < len(canaries.squares(live.bundle)):
        raise BundleError(f"{live.bundle}: {canaries.FILE} has photos that belong to no item.")
    if not len(cosines):
        return f"{name}: the items of the canaries are gone"
    found = float(cosines.min() if all_there else np.median(cosines))  # some may be replaced
    needed = OURS if live.stored or live.index.exact else OURS_IN_CODES
    if not found >= needed:  # NaN is bad too
        raise BundleError(
            f"{live.bundle}: {name} is not of this network: the embeddings of the stored photos "
            f"have a cosine of {found:.4f} with their vectors in the index; {needed} is needed."
        )
    return f"{name}: {len(cosines)} vectors of the index match the canaries, cosine {found:.4f}"
