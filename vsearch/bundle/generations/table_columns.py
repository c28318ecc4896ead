from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vsearch.data.items import NUMBER, REQUIRED, text_of
from vsearch.errors import BundleError


def conform(new: pa.Table, items: pa.Table) -> pa.Table:
    """Return new rows with the types of a bundle's items, so that each column keeps one type.

    New values of a text column become text. Text in a column of numbers is read as a number, unless
    it is a code (007, 1e5), which would change. Columns without any value are left out; unknown
    columns stay.

    Raises:
        BundleError: a value doesn't fit; the message names column, item and value.
    """
    for name in new.column_names:
        place, column = new.column_names.index(name), new[name]
        if name not in REQUIRED and column.null_count == len(column):
            new = new.remove_column(place)
        elif name in items.column_names:
            new = new.set_column(place, name, _fitting(new, name, items[name].type))
    return new


def joined(*tables: pa.Table) -> pa.Table:
    """Return tables as one, with the columns of all; a column that one lacks is missing there."""
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _fitting(new: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    column = new[name]
    if pa.types.is_null(kind) or column.type == kind:
        return column
    if _is_text(kind) and not _is_text(column.type):
        texts = [None if value is None else _text(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, kind)])
    if _is_text(column.type) and not _is_text(kind):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), None, column)
        if _is_number(kind) and not all(map(_reads_as_number, column.to_pylist())):
            raise _misfit(new, name, kind)
    for wanted in (kind, pa.float64()) if _is_number(kind) else (kind,):
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            continue
        except pa.ArrowNotImplementedError:
            break
    raise _misfit(new, name, kind)


def _misfit(new: pa.Table, name: str, kind: pa.DataType) -> BundleError:
    wanted, holds = (pa.float64(), "numbers") if _is_number(kind) else (kind, str(kind))
    for id, value in zip(new["id"].to_pylist(), new[name], strict=True):
        text = _is_number(kind) and _is_text(value.type)
        if not (_reads_as_number(value.as_py()) if text else _fits(value, wanted)):
            return BundleError(
                f"column {name!r} holds {holds}; item {id!r} has {value.as_py()!r} there."
            )
    return BundleError(f"column {name!r} holds {holds}, not {new[name].type}.")


def _fits(value: pa.Scalar, wanted: pa.DataType) -> bool:
    try:
        value.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _reads_as_number(text: str | None) -> bool:
    text = (text or "").strip()
    return not text or NUMBER.fullmatch(text) is not None


def _text(value: Any) -> str:
    """Return a value as text; whole numbers that a gap turned into floats lose their `.0`."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else text_of(value)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
