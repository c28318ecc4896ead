from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vsearch.bundle.exports.photos import Held
from vsearch.bundle.generations.swap_trial import Queries, hits, overlap, precisions
from vsearch.errors import Failed
from vsearch.indexes.base import Index
from vsearch.models.runtimes.base import Runtime

BATCH = 32


@dataclass(frozen=True)
class Bounds:
    """What an export must reach beside PyTorch in float32; both 0..1.

    Attributes:
        lowest_cosine: of each photo's two embeddings.
        top10_overlap: share of PyTorch's ten best items that are among the export's, mean over the
            photos.
    """

    lowest_cosine: float
    top10_overlap: float


def embedded(runtime: Runtime, held: Held) -> np.ndarray:
    """Return the photos' unit vectors, float32 (n, dim), in batches, of which the last one is as
    small as it comes.
    """
    return np.concatenate(
        [
            runtime.embed(held.squares[start : start + BATCH])
            for start in range(0, len(held.squares), BATCH)
        ]
    )


def prove(
    before: np.ndarray,
    after: np.ndarray,
    held: Held,
    index: Index,
    labels: np.ndarray,
    bounds: Bounds,
) -> dict[str, Any]:
    """Compare an export's embeddings with PyTorch's, and what both find through an index.

    Args:
        before: PyTorch's, float32 (n, dim), unit length.
        after: the export's.
        held: their photos.
        index: the bundle's.
        labels: of the items in it, text.
        bounds: what is to be reached.

    Returns:
        Plain JSON values: `photos`, `of`, `lowest_cosine`, `median_cosine`, `top10_overlap`,
        `precision_at_1` of both among the photos whose label is known (None: there are none),
        `bounds`.

    Raises:
        Failed: a bound is not reached; says which and by what.
    """
    cosines = (before * after).sum(axis=1)
    asked = [Queries(vectors, held.labels, held.own) for vectors in (before, after)]
    found = [hits(index, queries) for queries in asked]
    known = held.labels != ""
    right = (
        [precisions(one[known], held.labels[known], labels)["precision_at_1"] for one in found]
        if any(known)
        else []
    )
    proof = {
        "photos": len(held.own),
        "of": held.origin,
        "lowest_cosine": float(cosines.min()),
        "median_cosine": float(np.median(cosines)),
        "top10_overlap": overlap(*found),
        "precision_at_1": dict(zip(("torch", "export"), right, strict=True)) if right else None,
        "bounds": asdict(bounds),
    }
    missed = [
        f"{name} {proof[name]:.6f}, {least:g} is needed"
        for name, least in asdict(bounds).items()
        if not proof[name] >= least
    ]  # NaN is bad too
    if missed:
        raise Failed(
            f"the export embeds otherwise than PyTorch: {'; '.join(missed)} ({held.origin})."
        )
    return proof
