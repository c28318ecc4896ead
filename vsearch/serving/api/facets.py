import numpy as np
import pyarrow as pa

from vsearch.data.items import BOX
from vsearch.search.filters.columns import Column
from vsearch.serving.messages import Facet

# columns with the photos' location, and the items' role in the fit
HIDDEN = ("id", "path", "split", "is_query", "is_gallery", "sequence", *BOX)
LISTED = 50  # values of a column


def facets(items: pa.Table) -> list[Facet]:
    """Return what a filter can use in each column, the label first.

    Text columns with a different value for every item are left out.
    """
    names = [name for name in items.column_names if name not in (*HIDDEN, "label")]
    found = [_facet(name, Column(items[name])) for name in ("label", *names)]
    return [facet for facet in found if facet is not None]


def _facet(name: str, column: Column) -> Facet | None:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    facet = Facet(column=name, kind="text", missing=int(np.count_nonzero(column.codes < 0)))
    many = len(column.texts) > LISTED
    if column.numbers is not None and len(column.numbers):
        facet.kind = "number"
        finite = column.numbers[np.isfinite(column.numbers)]
        if len(finite):
            facet.low = float(finite.min())
            facet.high = float(finite.max())
        if many:
            return facet
    elif many and counts.max() == 1:
        return None

    most_frequent = np.argsort(-counts, kind="stable")[:LISTED]
    facet.values = [(column.texts[at], int(counts[at])) for at in most_frequent if counts[at]]
    return facet
