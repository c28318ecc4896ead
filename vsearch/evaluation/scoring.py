from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vsearch.evaluation.metrics import DEPTH, chance, per_query
from vsearch.indexes.base import Index
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.regions import for_shape

CHUNK = 4_000_000  # hits held at once: 4 M x (8 + 4 bytes) = 48 MB, whatever the catalog's size


@dataclass(frozen=True)
class Embedded:
    """Items as vectors.

    Attributes:
        embeddings: float32 (n, dim), unit length.
        labels: int (n,), label codes.
        keys: int (n,); hits that share the query's key (itself, its sequence) don't count.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    keys: np.ndarray

    def __post_init__(self) -> None:
        lengths = [len(self.embeddings), len(self.labels), len(self.keys)]
        if len(set(lengths)) > 1:
            raise ValueError("{} embeddings, {} labels, {} keys".format(*lengths))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> "Embedded":
        """Return the items at `positions`."""
        return Embedded(self.embeddings[positions], self.labels[positions], self.keys[positions])


@dataclass(frozen=True)
class Scores:
    """The scores of every query.

    Attributes:
        model: metric -> float (n,), one value per answerable query.
        chance: the same metrics' expectation for a random ranking.
        labels: int (n,), the queries' label codes.
        answered: int (n,), the positions of these queries among all queries, ascending.
        unanswerable: how many queries were left out because the gallery lacks their label.
    """

    model: dict[str, np.ndarray]
    chance: dict[str, np.ndarray]
    labels: np.ndarray
    answered: np.ndarray
    unanswerable: int


def score(index: Index, queries: Embedded, gallery: Embedded) -> Scores:
    """Search every query through `index`, which holds `gallery` in its order, and score the hits.

    Raises:
        ValueError: the index and the gallery differ in size, or no query can be answered.
    """
    if len(index) != len(gallery):
        raise ValueError(f"the index holds {len(index)} vectors, the gallery {len(gallery)} items")
    excluded, n_relevant = exclusions(queries, gallery)
    answerable = np.flatnonzero(n_relevant > 0)
    if len(answerable) == 0:
        raise ValueError("no query has an item of its label in the gallery")
    asked = queries.take(answerable)
    n_relevant = n_relevant[answerable]

    depth = int(max(DEPTH, n_relevant.max()))
    reach = depth + int(excluded.max())
    scored = []
    for chunk in chunks(len(asked), reach):
        _, hits = _hits(index, asked.take(chunk), gallery, reach)
        right = relevant(hits[:, :depth], asked.labels[chunk], gallery.labels)
        scored.append(per_query(right, n_relevant[chunk]))
    return Scores(
        model={name: np.concatenate([one[name] for one in scored]) for name in scored[0]},
        chance=chance(n_relevant, len(gallery) - excluded[answerable]),
        labels=asked.labels,
        answered=answerable,
        unanswerable=len(queries) - len(asked),
    )


def score_exactly(
    queries: Embedded, gallery: Embedded, vectors: np.ndarray | None = None
) -> Scores:
    """Score every query by exact search, which measures the model without its index.

    `vectors`: of the gallery, (n, dim) or with regions (n, per_item, dim); None: its embeddings.
    """
    if vectors is None:
        vectors = gallery.embeddings
    index = for_shape(FaissIndex(), vectors.shape[1:])
    index.build(vectors)
    return score(index, queries, gallery)


def exact_index(gallery: Embedded) -> FaissIndex:
    """Return an exact index of the gallery, in its order."""
    index = FaissIndex()
    index.build(gallery.embeddings)
    return index


def top_hits(index: Index, queries: Embedded, gallery: Embedded, depth: int = DEPTH) -> np.ndarray:
    """Return each query's best hits as positions in `gallery`, int (q, depth), -1 after the last.

    Hits that share their query's key are left out. There are fewer columns if the gallery has fewer
    than `depth` items.
    """
    return scored_hits(index, queries, gallery, depth)[1]


def scored_hits(
    index: Index, queries: Embedded, gallery: Embedded, depth: int = DEPTH
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the `top_hits`, float32 (q, depth), NaN after the last, and the hits."""
    reach = depth + int(_count(gallery.keys[:, None], queries.keys[:, None]).max())
    scores = []
    positions = []
    for chunk in chunks(len(queries), reach):
        chunk_scores, chunk_positions = _hits(index, queries.take(chunk), gallery, reach)
        scores.append(chunk_scores[:, :depth].copy())
        positions.append(chunk_positions[:, :depth].copy())

    hits = np.concatenate(positions)
    return np.where(hits >= 0, np.concatenate(scores), np.nan).astype(np.float32), hits


def relevant(hits: np.ndarray, query_labels: np.ndarray, gallery_labels: np.ndarray) -> np.ndarray:
    """Return bool, of the shape of `hits` (q, depth): is it a hit with the query's label?"""
    return (hits >= 0) & (gallery_labels[hits] == query_labels[:, None])


def exclusions(queries: Embedded, gallery: Embedded) -> tuple[np.ndarray, np.ndarray]:
    """Count, per query, the gallery items that share its key, and the others of its label."""
    same_key = _count(gallery.keys[:, None], queries.keys[:, None])
    same_label = _count(gallery.labels[:, None], queries.labels[:, None])
    both = _count(
        np.stack([gallery.keys, gallery.labels], axis=1),
        np.stack([queries.keys, queries.labels], axis=1),
    )
    return same_key, same_label - both


def half(keys: np.ndarray, seed: int) -> np.ndarray:
    """Draw about half of all at random, bool (n,); those that share a key stay together."""
    distinct, place = np.unique(keys, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(distinct)) < (len(distinct) + 1) // 2
    return drawn[place]


def chunks(n: int, width: int) -> Iterator[np.ndarray]:
    """Split the positions 0..n - 1 into tables of `width` columns and at most CHUNK cells."""
    size = max(1, CHUNK // width)
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


def _hits(
    index: Index, queries: Embedded, gallery: Embedded, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and positions, (q, k), of the hits that count, best first; -1 after them."""
    scores, positions = index.search(queries.embeddings, k)
    counts = (positions >= 0) & (gallery.keys[positions] != queries.keys[:, None])
    if counts.all():
        return scores, positions
    order = np.argsort(~counts, axis=1, kind="stable")  # hits that count first, in their order
    positions = np.where(counts, positions, -1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)


def _count(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how often each row of `wanted` occurs among `rows`; both int (n, columns)."""
    _, codes = np.unique(np.concatenate([rows, wanted]), axis=0, return_inverse=True)
    codes = codes.ravel()
    counts = np.bincount(codes[: len(rows)], minlength=codes.max() + 1)
    return counts[codes[len(rows) :]]
