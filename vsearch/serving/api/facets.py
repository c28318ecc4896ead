import numpy as np
import pyarrow as pa

from vsearch.data.items import BOX
from vsearch.search.filters.columns import Column
from vsearch.serving.messages import Facet

HIDDEN = ("id", "path", "split", "is_query", "is_gallery", "sequence", *BOX)
LISTED = 50  # values of a column that are listed


def metadata_columns(items: pa.Table) -> list[str]:
    """Return the columns that say something about an item: not where its photo lies, nor its part
    in the fit.
    """
    return [name for name in items.column_names if name not in (*HIDDEN, "label")]


def facets(items: pa.Table) -> list[Facet]:
    """Return what a filter can ask of each column, the label's first; not of columns that tell all
    items apart.
    """
    found = [facet(name, Column(items[name])) for name in ("label", *metadata_columns(items))]
    return [one for one in found if one is not None]


def facet(name: str, column: Column) -> Facet | None:
    """Return a column's values with counts, or the range of its numbers; None: too many different
    texts.
    """
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    missing = int(np.count_nonzero(column.codes < 0))
    if column.numbers is not None and len(column.numbers):
        known = column.numbers[np.isfinite(column.numbers.astype(float))]
        low, high = (float(known.min()), float(known.max())) if len(known) else (None, None)
        kind, bounds = "number", {"low": low, "high": high}
    else:
        kind, bounds = "text", {}
    if kind == "text" and len(column.texts) > LISTED and counts.max() == 1:
        return None
    order = np.argsort(-counts, kind="stable")[:LISTED]
    few = kind == "text" or len(column.texts) <= LISTED
    values = [(column.texts[at], int(counts[at])) for at in order if counts[at]] if few else []
    return Facet.model_validate(
        {"column": name, "kind": kind, "values": values, "missing": missing, **bounds}
    )
