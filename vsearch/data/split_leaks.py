import logging

import pandas as pd

log = logging.getLogger(__name__)


def warn_of_leaks(items: pd.DataFrame, source: str) -> None:
    """Log how many groups of identical photos lie in several parts, with two ids as an example.

    Photos are identical if their `content_hash` is equal and not blank; `split` is their part. The
    message begins with `source`.
    """
    if "content_hash" not in items:
        return
    known = items[items["content_hash"].notna() & (items["content_hash"] != "")]
    leaks = known[known.groupby("content_hash")["split"].transform("nunique") > 1]
    if leaks.empty:
        return
    group = leaks[leaks["content_hash"] == leaks["content_hash"].iloc[0]]
    pair = group.drop_duplicates("split").head(2)
    message = (
        "%s: %d groups of identical photos lie in several parts, e.g. %s. Such photos are "
        "trivially found, so scores are too high. Move each group into one part, or let "
        "vsearch.data.splits.StratifiedSplit draw the parts."
    )
    example = " and ".join(
        f"{id!r} ({part})" for id, part in zip(pair["id"], pair["split"], strict=True)
    )
    log.warning(message, source, leaks["content_hash"].nunique(), example)
