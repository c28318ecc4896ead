from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.data.items import RENAMED
from vsearch.data.photos import read_square
from vsearch.indexes.base import Index
from vsearch.models.runtimes.base import Runtime
from vsearch.search.best_hits import Hits, best
from vsearch.search.filters.columns import Table
from vsearch.search.filters.grammar import parse
from vsearch.search.query_by_example import ExampleError, combine
from vsearch.search.query_expansion import expanded, kept_vectors

Photo = str | Path | bytes


@dataclass(frozen=True)
class Searcher:
    """Searches what a run has left: a network, the index of its embeddings, and the indexed items.

    All searches take the same options: `k`, the number of hits (None: all); `where`, a filter on
    the items (see vsearch/search/filters/grammar.py); `min_score`, the lowest cosine that counts,
    -1..1; `group_by`, a column: of items with equal values only the best is found, and items
    without a value are not grouped; and `expand`: the number of best hits that are mixed into a
    query before it searches again (0: none; see `query_expansion`). `where` and `min_score` apply
    to both searches; the scores are those of the second.

    Attributes:
        index: position i is row i of `items`.
        items: id, path, label, metadata.
        manifest: what the bundle is, and its measured quality.
        hidden: columns of `items` that filters and grouping can't use.
    """

    runtime: Runtime
    index: Index
    items: pa.Table
    manifest: dict[str, Any]
    hidden: tuple[str, ...] = ()

    def embed(self, photos: Sequence[Photo]) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of photos given by path or by their bytes."""
        squares = [read_square(photo, self.runtime.preprocessing) for photo in photos]
        return self.runtime.embed(np.stack(squares))

    def search(
        self,
        photos: Sequence[Photo],
        k: int | None = 10,
        where: str | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
    ) -> list[pa.Table]:
        """Return each photo's best items: `rank`, `score` (cosine), then the columns of `items`.

        Metadata named rank or score becomes `rank_original` or `score_original`.

        Raises:
            PhotoError: a photo can't be used.
            FilterError: `where` can't be parsed, or it or `group_by` doesn't fit the items.
            ExampleError: the index can't give back the vectors that `expand` needs.
            ValueError: `k`, `min_score` or `expand` is out of its range.
        """
        allowed = self.allowed(where)
        return self.search_embeddings(self.embed(photos), k, allowed, min_score, group_by, expand)

    def search_examples(
        self,
        positive: Sequence[Photo],
        negative: Sequence[Photo] = (),
        k: int | None = 10,
        where: str | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        weight: float = 0.5,
        expand: int = 0,
    ) -> pa.Table:
        """Return what `search` does for one query made of examples: near some, away from others.

        An example is an item's id or a photo; the hits leave out items that are examples. See
        `query_by_example.combine`.

        Raises:
            ExampleError: one is neither an id nor a file, or they leave no direction to search in.
            PhotoError, FilterError, ValueError: as for `search`.
        """
        allowed = self.allowed(where)
        named = [self._position(example) for example in (*positive, *negative)]
        vectors = self._vectors((*positive, *negative), named)
        query = combine(vectors[: len(positive)], vectors[len(positive) :], weight)
        own = [position for position in named if position is not None]
        if own:
            allowed = np.ones(len(self.items), dtype=bool) if allowed is None else allowed
            allowed[own] = False
        return self.search_embeddings(query[None], k, allowed, min_score, group_by, expand)[0]

    def search_embeddings(
        self,
        queries: np.ndarray,
        k: int | None = 10,
        allowed: np.ndarray | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
    ) -> list[pa.Table]:
        """Return what `search` does for unit vectors, float32 (n, dim), among `allowed` items."""
        found = self.find(queries, k, allowed, min_score, group_by, expand)
        return [self._hits(*hits) for hits in found]

    def find(
        self,
        queries: np.ndarray,
        k: int | None = 10,
        allowed: np.ndarray | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
    ) -> list[Hits]:
        """Return what `search_embeddings` does as scores and rows of `items`, without tables."""
        if expand < 0:
            raise ValueError(f"expand is {expand}: it must be 0, for none, or a number of hits")
        if expand:
            queries = self._expanded(queries, expand, allowed, min_score)
        groups = None if group_by is None else self._table.column(group_by).codes
        return best(self.index, queries, k, allowed, min_score, groups)

    def _expanded(
        self,
        queries: np.ndarray,
        n_hits: int,
        allowed: np.ndarray | None,
        min_score: float | None,
    ) -> np.ndarray:
        found = best(self.index, queries, n_hits, allowed, min_score)
        moved = [
            expanded(query, scores, self.kept_vectors(positions))
            for query, (scores, positions) in zip(queries, found, strict=True)
        ]
        return np.stack(moved)

    def kept_vectors(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return indexed items' unit vectors, float32 (n, dim), as exactly as the index keeps them.

        Raises:
            ExampleError: the index can't give vectors back.
        """
        try:
            return kept_vectors(self.index, positions)
        except ValueError as error:
            needed = "ids as examples and expanded queries need the items' vectors"
            raise ExampleError(f"{needed}; photos alone don't: {error}") from error

    def allowed(self, where: str | None) -> np.ndarray | None:
        """Return bool (n,), which items pass a filter; None without a filter."""
        return None if where is None else parse(where).mask(self._table)

    def check(self, where: str | None, group_by: str | None) -> None:
        """Raise a FilterError if the filter or the grouping doesn't fit the items."""
        self.allowed(where)
        if group_by is not None:
            self._table.column(group_by)

    def unmet(self, where: str) -> list[str]:
        """Return a sentence for each value in a filter that no item has, with the existing ones."""
        return parse(where).unmet(self._table)

    @cached_property
    def _table(self) -> Table:
        names = [name for name in self.items.column_names if name not in self.hidden]
        return Table(self.items.select(names))

    def _position(self, example: Photo) -> int | None:
        """Return the position of the item with this id; None: a photo."""
        if not isinstance(example, str):
            return None
        position = int(pc.index(self.items["id"], example).as_py())
        if position >= 0:
            return position
        if not Path(example).is_file():
            raise ExampleError(f"{example!r} is neither an item's id nor a photo file")
        return None

    def _vectors(self, examples: Sequence[Photo], positions: Sequence[int | None]) -> np.ndarray:
        """Return unit vectors, float32 (n, dim): those of items from the index, others embedded."""
        vectors = np.zeros((len(examples), self.runtime.dim), dtype=np.float32)
        known = np.array([position is not None for position in positions], dtype=bool)
        if known.any():
            vectors[known] = self.kept_vectors(
                [position for position in positions if position is not None]
            )
        if not known.all():
            vectors[~known] = self.embed(
                [example for example, own in zip(examples, known, strict=True) if not own]
            )
        return vectors

    def _hits(self, scores: np.ndarray, positions: np.ndarray) -> pa.Table:
        names = [RENAMED.get(name, name) for name in self.items.column_names]
        hits = self.items.take(pa.array(positions)).rename_columns(names)
        hits = hits.add_column(0, "rank", pa.array(np.arange(1, len(hits) + 1)))
        return hits.add_column(1, "score", pa.array(scores.astype(float)))
