from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vsearch.bundle.exports.photos import Held
from vsearch.bundle.generations.swap_trial import Queries, hits, overlap, precisions
from vsearch.errors import Failed
from vsearch.indexes.base import Index
from vsearch.models.runtimes.base import Runtime
from vsearch.models.text.encoder import TEMPLATE, TextEncoder

BATCH = 32


@dataclass(frozen=True)
class Bounds:
    """Required agreement of an export with PyTorch in float32; both 0..1.

    Attributes:
        lowest_cosine: between the two embeddings of each photo.
        top10_overlap: mean share of PyTorch's ten best items that are among the export's.
    """

    lowest_cosine: float = 0.9999
    top10_overlap: float = 0.99


def embedded(runtime: Runtime, held: Held) -> np.ndarray:
    """Return the photos' unit vectors, float32 (n, dim), computed in batches."""
    starts = range(0, len(held.squares), BATCH)
    return np.concatenate([runtime.embed(held.squares[at : at + BATCH]) for at in starts])


def prove(
    before: np.ndarray,
    after: np.ndarray,
    held: Held,
    index: Index,
    labels: np.ndarray,
    bounds: Bounds,
) -> dict[str, Any]:
    """Compare an export's embeddings with PyTorch's, and the hits of both in an index.

    Args:
        before: PyTorch's embeddings, float32 (n, dim), unit length.
        after: the export's embeddings.
        labels: labels, as text, of the items in the index.

    Returns:
        Plain JSON values; `precision_at_1` of both counts photos with a known label (None: there
        are none).

    Raises:
        Failed: a bound is missed; the message says which and by how much.
    """
    cosines = (before * after).sum(axis=1)
    asked = [Queries(vectors, held.labels, held.own) for vectors in (before, after)]
    found = [hits(index, queries) for queries in asked]
    known = held.labels != ""
    right = None
    if any(known):
        before_and_after = [precisions(one[known], held.labels[known], labels) for one in found]
        right = {
            name: one["precision_at_1"]
            for name, one in zip(("torch", "export"), before_and_after, strict=True)
        }
    proof = {
        "photos": len(held.own),
        "of": held.origin,
        "lowest_cosine": float(cosines.min()),
        "median_cosine": float(np.median(cosines)),
        "top10_overlap": overlap(*found),
        "precision_at_1": right,
        "bounds": asdict(bounds),
    }
    missed = [
        f"{name} {proof[name]:.6f}, {least:g} is needed"
        for name, least in asdict(bounds).items()
        if not proof[name] >= least
    ]  # NaN is bad too
    if missed:
        raise Failed(
            f"the export's embeddings differ from PyTorch's: {'; '.join(missed)} ({held.origin})."
        )
    return proof


def prove_text(
    before: TextEncoder, after: TextEncoder, labels: Sequence[str], bounds: Bounds
) -> dict[str, Any]:
    """Compare embeddings of some labels' names by PyTorch and by an exported text tower.

    Raises:
        Failed: they differ too much.
    """
    texts = [TEMPLATE.format(label) for label in labels[:BATCH]]
    lowest = float((before.embed(texts) * after.embed(texts)).sum(axis=1).min())
    if not lowest >= bounds.lowest_cosine:  # NaN is bad too
        raise Failed(
            f"the export's embeddings of texts differ from PyTorch's: lowest_cosine {lowest:.6f}, "
            f"{bounds.lowest_cosine:g} is needed."
        )
    return {"texts": len(texts), "lowest_cosine": lowest}
