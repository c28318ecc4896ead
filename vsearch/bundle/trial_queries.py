import numpy as np
import pyarrow as pa

from vsearch.bundle import canaries
from vsearch.bundle.exports.choice import choose
from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.swap_trial import Queries
from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.samples import drawn
from vsearch.data.items import read_table

QUERIES = "queries.parquet"  # of `comparing.runs`: what the run was tested with
CODES = 0.9999  # cosine below which an index keeps something else than the embedding


def trial_queries(live: Live, vectors: np.ndarray, n: int) -> tuple[Queries, str]:
    """Return up to `n` of the run's test photos, or else of the items, and what they are."""
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
    held_out = Queries(vectors[rows], live.items["label"].to_numpy()[rows], rows)
    return held_out, f"{len(rows):,} of the items, held out: the bundle has no test photos"


def run_queries(live: Live) -> pa.Table | None:
    """Return the items whose photos the run was tested with; None: it kept none."""
    if QUERIES not in live.fitted["sha256"]:
        return None
    check_file(live.bundle, QUERIES, live.fitted)
    return read_table(live.bundle / QUERIES, live.photos_root)


def codes_warning(live: Live) -> str | None:
    """Return a warning if all that is left of the vectors is what an index's codes keep."""
    if live.stored or canaries.FILE not in live.fitted["sha256"]:
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
        "this index keeps codes, not vectors, and the bundle keeps none beside it (cosine "
        f"{middle:.4f}): what is built of them is less exact than of the photos."
    )
