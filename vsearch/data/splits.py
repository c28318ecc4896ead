from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vsearch.data.catalogs.base import is_blank
from vsearch.data.catalogs.csv_repair import read_csv
from vsearch.data.split_leaks import warn_of_leaks
from vsearch.errors import VsearchError

PARTS = ("train", "val", "test")
NAMES = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "test": "test",
}


class SplitError(VsearchError):
    """A catalog cannot be split as asked; the message says what is wrong, where, and what to do."""


class Split(ABC):
    """Which part each item belongs to. A subclass implements `assign`.

    Attributes:
        gallery: what a val or test query searches: the train part, or the rest of its own part.
    """

    gallery: Literal["train", "self"] = "train"

    @abstractmethod
    def assign(self, items: pd.DataFrame) -> pd.Series:
        """Return "train", "val" or "test" for every row: same index as `items`, named "split".

        `items` has unique text ids in `id`, text in `label`, and maybe `content_hash` (equal for
        pixel-identical photos, missing if unknown). Raises SplitError.
        """


class FractionSplit(Split):
    """The base of the two random splits: fractions, a seed, and photos that stay together.

    The result depends on the set of items and the seed, not on the order of the rows.

    Args:
        train: fraction of the items, above 0.
        val: fraction of the items, above 0: early stopping needs it.
        test: fraction of the items, may be 0. The three sum to 1.
        seed: another seed draws another split.
        group: a column, such as a product id; items with the same value stay in one part. Items
            without a value have no group.
        keep_copies_together: keep pixel-identical photos (equal `content_hash`) in one part.
    """

    def __init__(
        self,
        train: float = 0.8,
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        group: str | None = None,
        keep_copies_together: bool = True,
    ) -> None:
        if not (train > 0 and val > 0 and test >= 0 and abs(train + val + test - 1) <= 1e-6):
            raise SplitError(
                f"train={train}, val={val}, test={test}: train and val must be above 0, test at "
                "least 0, and their sum must be 1."
            )
        self.fractions = np.array([train, val, test] if test > 0 else [train, val])
        self.seed = seed
        self.group = group
        self.keep_copies_together = keep_copies_together

    def assign(self, items: pd.DataFrame) -> pd.Series:
        """Draw the parts; refuse a catalog that has a column `split`, and an empty part."""
        if "split" in items:
            raise SplitError(
                f"The catalog has a column 'split', which {type(self).__name__} would ignore. Use "
                "it with `--data.split vsearch.data.splits.ColumnSplit`, or rename the column to "
                "draw another split."
            )
        ordered = items.sort_values("id")
        part = self._draw(ordered, np.random.default_rng(self.seed))
        for number in range(len(self.fractions)):
            if number not in part:
                raise SplitError(
                    f"The {PARTS[number]} part would be empty: {len(items)} items of "
                    f"{items['label'].nunique()} labels are too few, or too many must stay "
                    f"together. Raise {PARTS[number]}, add photos, or drop group."
                )
        names = np.array(PARTS)[part]
        return pd.Series(names, ordered.index, object, "split").reindex(items.index)

    @abstractmethod
    def _draw(self, items: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        """Return the position in PARTS of every row's part, (n,) int."""


class StratifiedSplit(FractionSplit):
    """Divides every label by the given fractions; val and test queries search the train part.

    A unit is a set of items that stay together. Each unit of a label goes to the part that lacks
    most items. The first goes to train: a query whose label is not in the gallery has no answer.
    Rounding errors are carried to the next label, so that labels of 5 photos still fill val and
    test. A part gets a unit of a label if its share is at least one item and half a mean unit.
    Units too big for the small parts are dealt first, largest first. The others follow in random
    order: otherwise val and test would get the smallest units. A unit with several labels counts
    for the label of its first id.
    """

    def _draw(self, items: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        unit = units(items, self.group, self.keep_copies_together)
        label = pd.factorize(items["label"])[0]
        sizes = np.bincount(unit)
        owner = label[np.unique(unit, return_index=True)[1]]
        visit = rng.permutation(owner.max() + 1)[owner]
        big = _oversize(sizes, owner, self.fractions.min())
        order = np.lexsort((rng.permutation(len(sizes)), -big, visit))
        part_of_unit = np.empty(len(sizes), dtype=int)
        part_of_unit[order] = self._deal_labels(sizes[order], owner[order], rng)
        # All photos of such a label are copies in another label.
        unanswerable = ~np.isin(label, label[part_of_unit[unit] == 0])
        part_of_unit[unit[unanswerable]] = 0
        return part_of_unit[unit]

    def _deal_labels(
        self, sizes: np.ndarray, owner: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        carry = np.zeros(len(self.fractions))
        dealt = []
        for block in np.split(sizes, np.flatnonzero(np.diff(owner)) + 1):
            share = self.fractions * block.sum()
            repaid = _bounded(carry, np.maximum(share, block.max()))
            room = share + repaid + 1e-6 * rng.random(len(carry))
            room[0] -= block[0]
            least = max(1, block.mean() / 2) - 1e-9
            owed = {part for part in range(1, len(carry)) if share[part] >= least}
            parts = [0, *_deal(block[1:], room, owed)]
            carry += share - np.bincount(parts, weights=block, minlength=len(carry))
            dealt += parts
        return np.array(dealt)


class LabelDisjointSplit(FractionSplit):
    """Puts every label into one part: val and test have only classes that training never saw.

    The protocol of metric learning (Song et al., "Deep Metric Learning via Lifted Structured
    Feature Embedding", CVPR 2016). Labels that share a unit stay together. Each goes to the part
    that lacks most items: first those too big for the small parts, then the others at random.
    """

    gallery = "self"

    def _draw(self, items: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        bundle = _components([*_ties(items, self.group, self.keep_copies_together), items["label"]])
        sizes = np.bincount(bundle)
        # Those that have a label with at least two items.
        pairs = np.unique(bundle[items["label"].duplicated().to_numpy()])
        if len(pairs) < len(self.fractions):
            raise SplitError(
                f"{len(self.fractions)} parts need a label with 2 or more items each, but only "
                f"{len(pairs)} such labels can be kept apart. Add labels, use a StratifiedSplit, "
                "or drop group."
            )
        target = self.fractions * len(items)
        big = _oversize(sizes, np.zeros_like(sizes), self.fractions.min())
        has_pair = np.isin(np.arange(len(sizes)), pairs)
        order = np.lexsort((rng.permutation(len(sizes)), -big, has_pair))
        part = np.empty(len(sizes), dtype=int)
        room = target + 1e-6 * rng.random(len(target))
        part[order] = _deal(sizes[order], room, set(range(len(target))))
        return part[bundle]


class ColumnSplit(Split):
    """Reads the split from a catalog column: train, val (validation, valid, dev) or test.

    A warning counts identical photos in several parts.
    """

    def __init__(self, column: str = "split", gallery: Literal["train", "self"] = "train") -> None:
        self.column = column
        self.gallery = gallery

    def assign(self, items: pd.DataFrame) -> pd.Series:
        """Read the column; refuse other values and missing ones."""
        if self.column not in items:
            raise SplitError(
                f"No column '{self.column}' to split by; the catalog has {list(items.columns)}."
            )
        return _parts(items, items[self.column], f"column '{self.column}'")


class FileSplit(Split):
    """Reuses the split of an earlier run, by id, from its `split.csv`.

    Ids that only the file has are ignored. A warning counts identical photos in several parts.
    """

    def __init__(self, path: str, gallery: Literal["train", "self"] = "train") -> None:
        self.path = path
        self.gallery = gallery

    def assign(self, items: pd.DataFrame) -> pd.Series:
        """Look every id up; refuse a file that lacks some."""
        part_of_id = self._read()
        lacking = items.loc[~items["id"].isin(part_of_id.index), "id"]
        if len(lacking):
            raise SplitError(
                f"{self.path} lacks {len(lacking)} of the catalog's {len(items)} ids, first "
                f"{lacking.head().tolist()}. Use the catalog it was written for, add rows for the "
                "new items, or draw a new split."
            )
        return _parts(items, items["id"].map(part_of_id), self.path)

    def _read(self) -> pd.Series:
        if not Path(self.path).is_file():
            raise SplitError(f"No split file {self.path}. Give the path of a run's split.csv.")
        table, _ = read_csv(self.path, None, "error")
        if not {"id", "split"} <= set(table.columns):
            raise SplitError(
                f"{self.path} has the columns {list(table.columns)}; it needs 'id' and 'split'."
            )
        twice = table.loc[table["id"].duplicated(), "id"]
        if len(twice):
            raise SplitError(
                f"{self.path} repeats {len(twice)} ids, first {twice.head(5).tolist()}. Keep one "
                "row for each."
            )
        return table.set_index("id")["split"]


def write_split(items: pd.DataFrame, parts: pd.Series, path: Path) -> None:
    """Write a `split.csv` that FileSplit reads: id, label and split of each item."""
    items[["id", "label"]].assign(split=parts).to_csv(path, index=False)


def units(items: pd.DataFrame, group: str | None, keep_copies_together: bool) -> np.ndarray:
    """Number the sets of items that must stay in one part: (n,) int, 0 to the number of units - 1.

    An equal `content_hash` (if copies are kept together) or an equal value in the column `group`
    ties two items, also through other items. Missing and empty values tie nothing.
    """
    ties = _ties(items, group, keep_copies_together)
    return _components([*ties, pd.Series(np.arange(len(items)))])


def _ties(items: pd.DataFrame, group: str | None, keep_copies_together: bool) -> list[pd.Series]:
    if group is not None and group not in items:
        raise SplitError(f"No column '{group}' to group by; the catalog has {list(items.columns)}.")
    ties = []
    if keep_copies_together and "content_hash" in items:
        ties.append(items["content_hash"])
    if group is not None:
        ties.append(items[group].astype(str).mask(is_blank(items[group])))
    return ties


def _components(ties: list[pd.Series]) -> np.ndarray:
    """Number the connected components of the graph between items and values."""
    rows = []
    nodes = []
    count = size = len(ties[0])
    for tie in ties:
        codes, values = pd.factorize(tie.where(tie != ""))
        rows.append(np.flatnonzero(codes >= 0))
        nodes.append(codes[codes >= 0] + size)
        size += len(values)
    edges = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(size, size))
    return connected_components(graph, directed=False)[1][:count]


def _deal(sizes: np.ndarray, room: np.ndarray, owed: set[int]) -> list[int]:
    """Give each size to the part with most room; the last ones go to parts that still need one."""
    left = room.tolist()
    dealt = []
    for remaining, size in zip(range(len(sizes), 0, -1), sizes.tolist(), strict=True):
        choices = owed if remaining <= len(owed) else range(len(left))
        part = max(choices, key=left.__getitem__)
        left[part] -= size
        owed.discard(part)
        dealt.append(part)
    return dealt


def _oversize(sizes: np.ndarray, owner: np.ndarray, fraction: float) -> np.ndarray:
    """Keep sizes above half the fraction of their owner and twice its mean; the others become 0."""
    total = np.bincount(owner, weights=sizes)[owner]
    count = np.bincount(owner)[owner]
    return np.where(sizes > total * np.maximum(fraction / 2, 2 / count), sizes, 0)


def _bounded(carry: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Shrink the carry: a label pays back at most its share, or one unit, in any part."""
    return carry * min(1.0, float((limit / np.maximum(np.abs(carry), 1e-9)).min()))


def _parts(items: pd.DataFrame, values: pd.Series, source: str) -> pd.Series:
    parts = values.map(lambda value: NAMES.get(str(value).strip().lower()))
    bad = parts.isna()
    if bad.any():
        rows = [f"id={items['id'][row]!r} split={values[row]!r}" for row in items.index[bad][:5]]
        head = f"{source}: {bad.sum()} of {len(items)} items are in no part:"
        raise SplitError("\n  ".join([head, *rows]) + f"\nWrite one of {list(NAMES)}.")
    warn_of_leaks(items.assign(split=parts), source)
    return parts.astype(object).rename("split")
