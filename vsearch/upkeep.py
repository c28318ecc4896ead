from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vsearch import canaries
from vsearch.bundle import open_embedder
from vsearch.catalogs.base import CatalogError
from vsearch.embedder import Embedder
from vsearch.engines.choice import WantedName, choose
from vsearch.generations.base import BundleError
from vsearch.generations.files import check_file
from vsearch.generations.live import Live
from vsearch.generations.manifest import WEIGHTS, check_model, explained, model_of, read_fitted
from vsearch.generations.shadow import Queries, held_out
from vsearch.intake import Intake, embed_photos, model_named, read_embeddings, read_items
from vsearch.parts import open_parts

QUERIES = "queries.parquet"  # of `comparing.runs`: what the run was tested with
CODES = 0.9999  # cosine below which an index keeps something else than the embedding


def embedder_of(live: Live) -> Embedder:
    """Open the network of a bundle, its weights checked.

    Raises:
        BundleError: the weights are damaged, or of another fingerprint.
    """
    return checked_embedder(live.bundle, live.fitted)


def checked_embedder(bundle: Path, fitted: dict[str, Any]) -> Embedder:
    """Open the network of a bundle with this manifest, its weights checked.

    Raises:
        BundleError: the weights are damaged, or of another fingerprint.
    """
    with explained(bundle, "opening the network"):
        check_file(bundle, WEIGHTS, fitted)
        return open_embedder(bundle, fitted)


def incoming(
    live: Live,
    table: Path | None,
    folder: Path | None,
    embeddings: Path | None,
    fingerprint: str | None,
    engine: WantedName = "auto",
) -> Intake:
    """Return what is to be added: items of a table or a folder, with embeddings from a file or of their photos.

    The photos are embedded by the engine that is wanted, in its quickest precision (see `engines.choice.choose`).

    Raises:
        BundleError: the sources make no sense together, the embeddings are of another model, there is no such engine.
        CatalogError: a source can't be used.
    """
    if (table and folder) or not (table or folder or embeddings):
        raise BundleError("name what to add: --table or --folder, or --embeddings, which may go with one of them.")
    items, gone = read_items(table, folder) if table or folder else (None, [])
    if embeddings is not None:
        _check_origin(live, embeddings, fingerprint)
        return read_embeddings(embeddings, items)
    if items is None:
        raise CatalogError("there is nothing to add.")
    embedder = embedder_of(live)
    chosen = choose(live.bundle, embedder, live.fitted, engine, "auto")
    found = embed_photos(embedder, items, engine=chosen.engine)
    return Intake(found.items, found.embeddings, [*gone, *found.left_out], f"{chosen.engine.name}, {chosen.why}")


def trial_queries(live: Live, vectors: np.ndarray, n: int) -> tuple[Queries, str]:
    """Return up to `n` queries to try an index with, and what they are: the run's test photos, or items held out.

    Raises:
        BundleError: the run's table of queries is damaged.
    """
    if QUERIES in live.fitted["sha256"]:
        check_file(live.bundle, QUERIES, live.fitted)
        table = pd.read_parquet(live.bundle / QUERIES)
        asked = table.iloc[np.sort(np.random.default_rng(0).permutation(len(table))[:n])]
        found = embed_photos(embedder_of(live), asked, "Embedding test queries")
        if len(found.items):
            places = dict(zip(live.items["id"], range(len(live.items)), strict=True))
            own = np.array([places.get(id, -1) for id in found.items["id"]])
            text = f"{len(own):,} of the run's test photos; {len(found.left_out):,} can't be read"
            return Queries(found.embeddings, found.items["label"].to_numpy(), own), text
    held = held_out(vectors, live.items["label"].to_numpy(), n)
    return held, f"{len(held):,} of the items, held out: the bundle has no test photos"


def codes_warning(live: Live) -> str | None:
    """Return a warning if an index is about to be built of what is left of the vectors in another index's codes."""
    if live.stored or canaries.FILE not in live.fitted["sha256"]:
        return None
    check_file(live.bundle, canaries.FILE, live.fitted)
    places = {id: place for place, id in enumerate(live.items["id"][: live.from_generation])}
    with explained(live.bundle, "reading the vectors"):
        cosines = canaries.in_index(live.bundle, places, live.vectors)
    if not len(cosines) or (middle := float(np.median(cosines))) >= CODES:  # a few ids may have new photos
        return None
    return (
        f"this index keeps codes, not vectors, and the bundle keeps none beside it (cosine {middle:.4f}): "
        "what is built of them is less exact than of the photos."
    )


def _check_origin(live: Live, embeddings: Path, fingerprint: str | None) -> None:
    ours = model_of(live.fitted)
    if embeddings.is_dir():
        check_model(open_parts(embeddings).manifest["model"], ours, f"{embeddings}: its embeddings are")
        return
    if fingerprint is None:
        raise BundleError(f"--embeddings needs --fingerprint, of the model that made them; here: {ours['fingerprint']}")
    theirs = model_named(fingerprint, lambda folder: model_of(read_fitted(folder)))
    check_model(theirs, ours, f"{embeddings}: its embeddings are")
