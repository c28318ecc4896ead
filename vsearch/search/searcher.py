from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.data.items import RENAMED
from vsearch.data.photos import read_square
from vsearch.data.regions import Region
from vsearch.indexes.base import Index
from vsearch.indexes.regions import all_vectors
from vsearch.models.runtimes.base import Runtime
from vsearch.models.text.encoder import TextEncoder
from vsearch.search.best_hits import Hits, best, merged
from vsearch.search.filters.columns import Column, Table
from vsearch.search.filters.grammar import parse
from vsearch.search.matched_parts import PARTS, MatchedParts, matched_parts
from vsearch.search.mean_hits import best_means
from vsearch.search.query_by_example import TEXT_WEIGHT, ExampleError, combine, with_text
from vsearch.search.query_expansion import expanded, kept_vectors

Photo = str | Path | bytes
SIDES = pa.list_(pa.float64())  # left, top, right, bottom


@dataclass(frozen=True)
class Searcher:
    """Searches what a run has left: a network, the index of its embeddings, and the indexed items.

    All searches take the same options: `k`, the number of hits (None: all); `where`, a filter on
    the items (see vsearch/search/filters/grammar.py); `min_score`, the lowest cosine that counts,
    -1..1; `group_by`, a column: of items with equal values only the best is found, and items
    without a value are not grouped; `each_photo`: without `group_by`, don't group by the product
    either, if the manifest names its column; and `expand`: the number of best hits that are mixed
    into a query before it searches again (0: none; see `query_expansion`). `where` and `min_score`
    apply to both searches; the scores are those of the second.

    Attributes:
        index: position i is row i of `items`.
        items: id, path, label, metadata.
        manifest: what the bundle is, and its measured quality. `products` names the column, as
            `group`, whose equal values are photos of one product, and says how to `fuse` them: the
            score of a product is that of its `best` photo, or the `mean` over its photos.
        hidden: columns of `items` that filters and grouping can't use.
        open_text: opens the network's text tower; None: it has none.
    """

    runtime: Runtime
    index: Index
    items: pa.Table
    manifest: dict[str, Any]
    hidden: tuple[str, ...] = ()
    open_text: Callable[[], TextEncoder] | None = None

    def embed(self, photos: Sequence[Photo]) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of photos given by path or by their bytes."""
        squares = [read_square(photo, self.runtime.preprocessing) for photo in photos]
        return self.runtime.embed(np.stack(squares))

    def embed_parts(self, photos: Sequence[Photo]) -> np.ndarray:
        """Return unit vectors, float32 (n, p, dim), of photos and of their `query_regions`."""
        vectors = []
        for photo in photos:
            squares = [
                read_square(photo, self.runtime.preprocessing, region=region)
                for region in self.query_regions
            ]
            vectors.append(self.runtime.embed(np.stack(squares)))
        return np.stack(vectors)

    @property
    def query_regions(self) -> tuple[Region | None, ...]:
        """What `parts` searches with: None, for the whole photo, and its parts."""
        own = self.runtime.preprocessing.regions
        return own if len(own) > 1 else (None, *PARTS.boxes)

    def embed_text(self, text: str) -> np.ndarray:
        """Return a text's unit vector, float32 (dim,); the tower is opened for the first one.

        Raises:
            ExampleError: the network has no text tower.
        """
        if self._text is None:
            network = self.manifest["backbone"]["class_path"].rpartition(".")[2]
            raise ExampleError(
                f"this bundle has no text tower ({network}), so words can't be searched with: "
                "use a photo or an item's id, or fit OpenCLIPBackbone or TransformersBackbone with "
                "`text: true`"
            )
        return self._text.embed([text])[0]

    @cached_property
    def _text(self) -> TextEncoder | None:
        return None if self.open_text is None else self.open_text()

    def search(
        self,
        photos: Sequence[Photo],
        k: int | None = 10,
        where: str | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
        each_photo: bool = False,
        text: str | None = None,
        text_weight: float = TEXT_WEIGHT,
        parts: bool = False,
    ) -> list[pa.Table]:
        """Return each photo's best items: `rank`, `score` (cosine), then the columns of `items`.

        Grouped hits also have their `group_size`, the number of items with their value. If the
        index holds parts of the items' photos, `region` says which one matched: left, top, right
        and bottom as shares of the photo; missing for the whole one. Metadata with such a name gets
        another: `rank_original`.

        With `parts`, parts of each photo are searched with too, and an item counts by the one that
        it matches best, which `query_region` says. A `text` is mixed into each query, see
        `query_by_example.combine`.

        Raises:
            PhotoError: a photo can't be used.
            FilterError: `where` can't be parsed, or it or `group_by` doesn't fit the items.
            ExampleError: the index can't give back the vectors that `expand` and means need, or the
                network has no text tower.
            ValueError: `k`, `min_score` or `expand` is out of its range.
        """
        allowed = self.allowed(where)
        queries = self.embed_parts(photos) if parts else self.embed(photos)
        if text is not None:
            queries = with_text(queries, self.embed_text(text), text_weight)
        return self.search_embeddings(queries, k, allowed, min_score, group_by, expand, each_photo)

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
        each_photo: bool = False,
        text: str | None = None,
        text_weight: float = TEXT_WEIGHT,
    ) -> pa.Table:
        """Return what `search` does for one query made of examples: near some, away from others.

        An example is an item's id or a photo; the hits leave out items that are examples, see
        `leave_out`. A `text` is mixed in, or is the only positive example. See
        `query_by_example.combine`.

        Raises:
            ExampleError: one is neither an id nor a file, or they leave no direction to search in.
            PhotoError, FilterError, ValueError: as for `search`.
        """
        allowed = self.allowed(where)
        named = [self._position(example) for example in (*positive, *negative)]
        vectors = self._vectors((*positive, *negative), named)
        query = combine(
            vectors[: len(positive)],
            vectors[len(positive) :],
            weight,
            text=None if text is None else self.embed_text(text),
            text_weight=text_weight,
        )
        own = [position for position in named if position is not None]
        allowed = self.leave_out(own, allowed, each_photo)
        return self.search_embeddings(
            query[None], k, allowed, min_score, group_by, expand, each_photo
        )[0]

    def search_embeddings(
        self,
        queries: np.ndarray,
        k: int | None = 10,
        allowed: np.ndarray | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
        each_photo: bool = False,
    ) -> list[pa.Table]:
        """Return what `search` does for unit vectors, float32 (n, dim), or of photos and their
        parts (n, p, dim), among `allowed` items.
        """
        found = self.find(queries, k, allowed, min_score, group_by, expand, each_photo)
        column = self._grouping(group_by, each_photo)
        if self.uses_means(group_by, each_photo):
            queries = queries.reshape(len(queries), -1, self.runtime.dim)[:, 0]  # no part is best
        return [
            self._hits(query, *hits, column) for query, hits in zip(queries, found, strict=True)
        ]

    def find(
        self,
        queries: np.ndarray,
        k: int | None = 10,
        allowed: np.ndarray | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        expand: int = 0,
        each_photo: bool = False,
    ) -> list[Hits]:
        """Return what `search_embeddings` does as scores and rows of `items`, without tables."""
        column = self._grouping(group_by, each_photo)
        groups = None if column is None else column.codes
        if queries.ndim == 3:
            each = [
                self.find(parts, k, allowed, min_score, group_by, expand, each_photo)
                for parts in queries
            ]
            return [merged(found, k, groups) for found in each]
        if expand < 0:
            raise ValueError(f"expand is {expand}: it must be 0, for none, or a number of hits")
        if expand:
            queries = self._expanded(queries, expand, allowed, min_score)
        if groups is not None and self.uses_means(group_by, each_photo):
            return best_means(self.index, self.kept_vectors, queries, k, groups, allowed, min_score)
        return best(self.index, queries, k, allowed, min_score, groups)

    def uses_means(self, group_by: str | None, each_photo: bool) -> bool:
        """Return whether a hit's score is the mean over its product's photos, not its own."""
        products = self.manifest.get("products", {})
        by_product = not each_photo if group_by is None else group_by == products.get("group")
        return by_product and self._products is not None and products["fuse"] == "mean"

    def group_sizes(
        self, positions: np.ndarray, group_by: str | None, each_photo: bool
    ) -> np.ndarray | None:
        """Return how many items are in the groups of those at int (n,) positions; None: no groups.

        An item without a value is alone.
        """
        column = self._grouping(group_by, each_photo)
        return None if column is None else column.sizes[positions]

    def product(self, position: int) -> np.ndarray:
        """Return the rising positions, int (n,), of the photos of an item's product."""
        own = np.array([position])
        return own if self._products is None else np.flatnonzero(self._products.same(own))

    def leave_out(
        self, positions: Sequence[int], allowed: np.ndarray | None, each_photo: bool
    ) -> np.ndarray | None:
        """Return which items may be found if these may not, and their products neither.

        `each_photo`: other photos of their products may.
        """
        if not len(positions):
            return allowed
        left = np.ones(len(self.items), dtype=bool) if allowed is None else allowed.copy()
        left[positions] = False
        if self._products is not None and not each_photo:
            left &= ~self._products.same(np.array(positions))
        return left

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
            needed = (
                "ids as examples, expanded queries and means over a product's photos need the "
                "items' vectors"
            )
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

    @cached_property
    def _products(self) -> Column | None:
        """The column of the products; None: each photo is one."""
        name = self.manifest.get("products", {}).get("group")
        return Column(self.items[name]) if name in self.items.column_names else None

    def _grouping(self, group_by: str | None, each_photo: bool) -> Column | None:
        """Return the column that groups hits; None: they aren't grouped."""
        if group_by is not None:
            return self._table.column(group_by)
        return None if each_photo else self._products

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

    def matched_parts(self, query: np.ndarray, positions: np.ndarray) -> list[MatchedParts]:
        """Return which parts of a query, float32 (dim,) or (p, dim), and of its hits are alike.

        Only whole photos if there are no others, or if the index can't give vectors back.
        """
        own = self.runtime.preprocessing.regions
        if query.ndim == 1 and len(own) == 1:
            return [MatchedParts()] * len(positions)
        try:
            vectors = all_vectors(self.index, positions)
        except ValueError:
            return [MatchedParts()] * len(positions)
        regions: tuple[Region | None, ...] = (None,) if query.ndim == 1 else self.query_regions
        dim = query.shape[-1]
        vectors = vectors.reshape(len(positions), -1, dim)
        return matched_parts(query.reshape(-1, dim), vectors, regions, own)

    def _hits(
        self,
        query: np.ndarray,
        scores: np.ndarray,
        positions: np.ndarray,
        grouping: Column | None,
    ) -> pa.Table:
        parts = self.matched_parts(query, positions)
        found = {"rank": np.arange(1, len(positions) + 1), "score": scores.astype(float)}
        added = {name: pa.array(values) for name, values in found.items()}
        if len(self.runtime.preprocessing.regions) > 1:
            added["region"] = pa.array([part.item for part in parts], SIDES)
        if query.ndim == 2:
            added["query_region"] = pa.array([part.query for part in parts], SIDES)
        if grouping is not None:
            added["group_size"] = pa.array(grouping.sizes[positions])
        names = [RENAMED[name] if name in added else name for name in self.items.column_names]
        hits = self.items.take(pa.array(positions)).rename_columns(names)
        return pa.table(added | dict(zip(names, hits.columns, strict=True)))
