import logging

import pandas as pd

from vsearch.data.catalogs.base import is_blank

log = logging.getLogger(__name__)


def warn_of_leaks(
    items: pd.DataFrame,
    source: str,
    column: str = "content_hash",
    what: str = "groups of identical photos",
) -> None:
    """Log how many groups of photos lie in several parts, with two ids as an example.

    Photos are a group if their value in `column` is equal and not blank; `split` is their part. The
    message begins with `source`, and calls the groups `what`.
    """
    if column not in items:
        return
    known = items[~is_blank(items[column])]
    values = known[column].astype(str)
    leaks = known["split"].groupby(values).transform("nunique") > 1
    if not leaks.any():
        return
    group = known[values == values[leaks].iloc[0]]
    pair = group.drop_duplicates("split").head(2)
    message = (
        "%s: %d %s lie in several parts, e.g. %s. Such photos are easily found, so scores are too "
        "high. Move each group into one part, or let vsearch.data.splits.StratifiedSplit draw the "
        "parts."
    )
    example = " and ".join(
        f"{id!r} ({part})" for id, part in zip(pair["id"], pair["split"], strict=True)
    )
    log.warning(message, source, values[leaks].nunique(), what, example)
