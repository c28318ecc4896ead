import pandas as pd
from pandas.api.types import is_numeric_dtype

from vsearch.errors import BundleError


def conform(new: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Return new rows such that, put below a bundle's items, each column keeps one type.

    Numbers that come for a column of text become text; columns without any value are left out;
    unknown ones stay.

    Raises:
        BundleError: text comes for a column of numbers; the message names the column and the first
            such value.
    """
    new = new.drop(
        columns=[
            name for name in new if name not in ("id", "path", "label") and new[name].isna().all()
        ]
    )
    for name in [str(name) for name in new if name in items]:
        ours, theirs = items[name], new[name]
        if _is_number(ours) and not _is_number(theirs):
            values = pd.to_numeric(theirs, errors="coerce")
            bad = values.isna() & theirs.notna()
            if bad.any():
                row = new[bad].iloc[0]
                raise BundleError(
                    f"column {name!r} holds numbers; item {row['id']!r} has {row[name]!r} there."
                )
            new = new.assign(**{name: values})
        elif not _is_number(ours) and _is_number(theirs) and ours.notna().any():
            new = new.assign(**{name: theirs.astype(object).map(str, na_action="ignore")})
    return new


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column.infer_objects())
