import os
import re
import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vsearch.data.io.object_stores import is_url

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("id", "path", "label")
BOX = ("x_1", "y_1", "x_2", "y_2")
# What metadata of these names is called in hits that have such columns too
RENAMED = {
    name: f"{name}_original" for name in ("rank", "score", "group_size", "region", "query_region")
}
# Text that reads as a number; `007`, and more digits than a float64 holds, are codes
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")


class _NoPandas:
    """Keeps pandas from being imported."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ImportError("pandas must not be imported here")


def keep_pandas_out() -> None:
    """Stop pyarrow from importing pandas in this process until a DataFrame is wanted.

    pyarrow imports pandas at its first array, to recognise pandas objects. That takes most of the
    time of a search, which has none. Afterwards, don't make arrays from a Series.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])  # it tries only once
    finally:
        sys.meta_path.remove(finder)


def as_table(items: Union[pa.Table, "pd.DataFrame"]) -> pa.Table:
    """Return items as an Arrow table of plain types.

    Categories become their values, nanoseconds become microseconds (Python's limit), and a
    DataFrame's NaN becomes null.
    """
    if not isinstance(items, pa.Table):
        items = pa.Table.from_pandas(items, preserve_index=False)
    fields = [pa.field(field.name, _plain_type(field.type)) for field in items.schema]
    return items.cast(pa.schema(fields), safe=False).combine_chunks()


def common_folder(paths: Iterable[str]) -> str:
    """Return the absolute path of the folder that holds all photos; URLs don't count.

    Empty if there are no photo files.
    """
    folders = {str(Path(path).absolute().parent) for path in paths if _is_file(path)}
    return os.path.commonpath([os.path.normpath(folder) for folder in folders]) if folders else ""


def below(root: str, paths: Iterable[str]) -> list[str]:
    """Return paths relative to `root`; files elsewhere get absolute paths.

    URLs stay as they are.
    """
    start = f"{root.rstrip('/')}/"
    shortened = []
    for path in paths:
        if _is_file(path):
            whole = os.path.normpath(Path(path).absolute())
            shortened.append(whole.removeprefix(start))
        else:
            shortened.append(path)
    return shortened


def placed(root: str, paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the paths that `below` shortened, joined to `root`, which may differ from its root."""
    paths = paths.cast(pa.string())
    is_whole = pc.or_(pc.starts_with(paths, "/"), pc.match_substring(paths, "://"))
    stays = pc.or_(is_whole, pc.equal(paths, ""))
    # of the paths' type, which may be large string: Arrow joins equal types only
    folder, slash = (pa.scalar(text, paths.type) for text in (root, "/"))
    return pc.if_else(stays, paths, pc.binary_join_element_wise(folder, paths, slash))


def _is_file(path: str) -> bool:
    return bool(path) and not is_url(path)


def read_table(path: Path, root: str = "") -> pa.Table:
    """Return a Parquet file as `as_table` does, its paths joined to `root`.

    Raises:
        OSError, ValueError: it can't be read.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        items = as_table(file.read())
    if root and "path" in items.column_names:
        items = _with_paths(items, placed(root, items["path"]))
    return items


def table_bytes(items: Union[pa.Table, "pd.DataFrame"], root: str = "") -> bytes:
    """Return items as a Parquet file's content, their paths relative to `root`."""
    table = as_table(items)
    if root and "path" in table.column_names:
        paths = below(root, table["path"].to_pylist())
        table = _with_paths(table, pa.array(paths, pa.string()))
    file = BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def as_frame(items: pa.Table) -> "pd.DataFrame":
    """Return an Arrow table as a DataFrame that keeps whole numbers and truth values.

    With missing values, and in lists, pandas would turn them into floats and objects.
    """
    import pandas as pd

    kinds = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }

    def kept(kind: pa.DataType) -> Any:
        return pd.ArrowDtype(kind) if pa.types.is_nested(kind) else kinds.get(kind)

    return items.to_pandas(types_mapper=kept, ignore_metadata=True)


def holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of this type are or contain bytes."""
    if pa.types.is_nested(kind):
        return any(holds_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return any(
        test(kind)
        for test in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
            pa.types.is_binary_view,
        )
    )


def repeated_ids(items: pa.Table) -> list[str]:
    """Return the ids that occur more than once, each once."""
    counted = items["id"].value_counts()
    return counted.filter(pc.greater(counted.field("counts"), 1)).field("values").to_pylist()


def alike_ids(items: pa.Table, there: pa.Table) -> list[str]:
    """Return ids of `items` that match another, in either table, up to white space and NFC form.

    An id that equals one in `there` exactly doesn't count: it replaces that item.
    """
    ids = items["id"]
    plain = plain_ids(ids)
    alike = pc.and_not(
        pc.is_in(plain, value_set=plain_ids(there["id"])), pc.is_in(ids, value_set=there["id"])
    )
    twice = repeated_ids(pa.table({"id": plain}))
    alike = pc.or_(alike, pc.is_in(plain, value_set=pa.array(twice, plain.type)))
    return ids.filter(alike).to_pylist()


def plain_ids(ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return ids without white space around them, in Unicode's composed form (NFC)."""
    return pc.utf8_normalize(pc.utf8_trim_whitespace(ids), form="NFC")


def boxes(
    items: Union[pa.Table, "pd.DataFrame"],
) -> list[tuple[float, float, float, float] | None]:
    """Return each item's box `(x_1, y_1, x_2, y_2)` in pixels, or None."""
    names = items.column_names if isinstance(items, pa.Table) else items.columns
    if not set(BOX) <= set(names):
        return [None] * len(items)
    corners = np.column_stack([np.asarray(items[name]).astype(float) for name in BOX])
    return [None if np.isnan(box).any() else tuple(box) for box in corners]


def plain_rows(items: pa.Table, positions: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows at int (n,) `positions` as JSON values.

    Missing and infinite values are None, times are ISO 8601.
    """
    rows = items.take(pa.array(positions)).to_pylist()
    return [{name: _plain_value(value) for name, value in row.items()} for row in rows]


def text_of(value: Any) -> str:
    """Return a value as text to show to people; times are ISO 8601."""
    return str(_plain_value(value))


def _with_paths(items: pa.Table, paths: pa.Array | pa.ChunkedArray) -> pa.Table:
    return items.set_column(items.column_names.index("path"), "path", paths)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind


def _plain_value(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(name): _plain_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
