import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from vsearch.evaluation.scoring import Embedded, Scores, score, scored_hits
from vsearch.indexes.base import Index
from vsearch.search.query_expansion import expanded, kept_vectors

HITS = 10
SINGLES = 50  # searches that are timed


@dataclass(frozen=True)
class ExpansionScores:
    """Quality and cost of `search --expand` compared with searching once, in the same index.

    Attributes:
        hits: number of hits that are mixed into a query.
        once, expanded: scores without and with it.
        once_ms, expanded_ms: medians of single searches for ten hits.
    """

    hits: int
    once: Scores
    expanded: Scores
    once_ms: float
    expanded_ms: float


def score_expansion(
    index: Index, queries: Embedded, gallery: Embedded, once: Scores, n_hits: int = HITS
) -> ExpansionScores | None:
    """Score expanded queries; None: the index can't give back the vectors for this.

    `once`: the scores of the same queries, searched once.
    """
    try:
        moved = expand_queries(index, queries, gallery, n_hits)
    except ValueError:
        return None
    timed = queries.embeddings[:SINGLES]
    return ExpansionScores(
        hits=n_hits,
        once=once,
        expanded=score(index, moved, gallery),
        once_ms=median(search_ms(index, query, 0) for query in timed),
        expanded_ms=median(search_ms(index, query, n_hits) for query in timed),
    )


def expand_queries(index: Index, queries: Embedded, gallery: Embedded, n_hits: int) -> Embedded:
    """Return the queries, each moved towards its best hits, except those that share its key.

    Raises:
        ValueError: the index can't give its vectors back.
    """
    found = scored_hits(index, queries, gallery, n_hits)
    moved = [
        _moved(index, query, scores, hits)
        for query, scores, hits in zip(queries.embeddings, *found, strict=True)
    ]
    return Embedded(np.stack(moved), queries.labels, queries.keys)


def search_ms(index: Index, query: np.ndarray, n_hits: int) -> float:
    """Return the milliseconds of one search for ten hits, expanded by `n_hits` hits or by none."""
    start = time.perf_counter()
    if n_hits:
        scores, hits = index.search(query[None], n_hits)
        query = _moved(index, query, scores[0], hits[0])
    index.search(query[None], 10)
    return 1000 * (time.perf_counter() - start)


def _moved(index: Index, query: np.ndarray, scores: np.ndarray, hits: np.ndarray) -> np.ndarray:
    there = hits >= 0
    return expanded(query, scores[there], kept_vectors(index, hits[there]))
