import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

import pandas as pd

from vsearch.data.catalogs.base import CatalogError, refuse_columns
from vsearch.data.io.encodings import encoding_of
from vsearch.data.io.object_stores import PlaceError, open_file

Row = tuple[int, list[str]]  # the number of its first line, from 1, and its fields
BadRows = Literal["repair", "skip", "error"]
UNREADABLE = (csv.Error, UnicodeDecodeError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*')
END = "\x1e"  # added after the last line: a row that contains it has an unclosed quote


def read_csv(
    table: str | Path, separator: str | None, bad_rows: BadRows
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read a .csv, .tsv, .gz or .zip (one table inside), including rows with too many fields.

    Every value is text, as written; an empty field is missing. `repair` joins surplus fields into
    the last column, `skip` leaves the row out. The default `separator` is the one that Excel's line
    `sep=;` gives, or the first of comma, semicolon and tab that the header has.

    Returns:
        The table, whose index `line` is the number of each row's first line (the header is line 1),
        and the number of `rows` in the file and of `malformed_rows`, which have too many fields.

    Raises:
        CatalogError: the file or a row can't be read.
    """
    try:
        with _open(table) as lines:
            first = next(lines, "")
            told = SEPARATOR_LINE.fullmatch(first)
            if told is None:
                lines = chain([first], lines)
            separator = separator or (told[1] if told else _separator_in(first))
            rows = _numbered_rows(lines, separator, table, 1 if told is None else 2)
            text, numbers, report = _clean(rows, table, separator, bad_rows)
    except PlaceError as error:
        raise CatalogError(f"{table}: {error}") from error
    except UNREADABLE as error:
        raise CatalogError(f"{table}: cannot be read as a UTF-8 CSV table: {error}.") from error
    found = pd.read_csv(
        text,
        dtype=str,
        keep_default_na=False,  # "NA" and "null" are plain text
        na_values=[""],
        index_col=False,
        skip_blank_lines=False,  # `_numbered_rows` has left blank lines out
    )
    return found.set_axis(pd.Index(numbers, dtype="int64", name="line")), report


def _clean(
    rows: Iterator[Row], table: str | Path, separator: str, bad_rows: BadRows
) -> tuple[io.StringIO, list[int], dict[str, int]]:
    _, header = next(rows, (0, []))
    if not header:
        raise CatalogError(f"{table}: the file is empty; its first line must name the columns.")
    header = [name.strip() for name in header]
    refuse_columns([name for name in header if name], str(table))
    last = len(header) - 1
    text = io.StringIO(newline="")
    numbers = []
    malformed = []
    writer = csv.writer(text)
    writer.writerow(header)
    for line, row in rows:
        if len(row) < len(header):
            raise CatalogError(
                f"{table}, line {line}: {len(row)} fields, but the header has {len(header)}: {row}."
            )
        if len(row) > len(header):
            malformed.append((line, row))
            if bad_rows != "repair":
                continue
            row = [*row[:last], separator.join(row[last:])]
        numbers.append(line)
        writer.writerow(row)
    if malformed and bad_rows == "error":
        raise CatalogError(_too_many(table, header, malformed))
    text.seek(0)
    skipped = 0 if bad_rows == "repair" else len(malformed)
    return text, numbers, {"rows": len(numbers) + skipped, "malformed_rows": len(malformed)}


def _too_many(table: str | Path, header: list[str], malformed: list[Row]) -> str:
    line, row = malformed[0]
    return (
        f"{table}: {len(malformed)} row(s) have more fields than the header ({len(header)}); the "
        f"first is line {line}, with {len(row)}: {row}.\n"
        f"Set bad_rows to 'repair' (the last column, '{header[-1]}', takes the rest with its "
        "separators) or to 'skip', or quote the fields that hold a separator."
    )


def _separator_in(header: str) -> str:
    return next((mark for mark in ",;\t" if mark in header), ",")


def _numbered_rows(
    lines: Iterable[str], separator: str, table: str | Path, first: int
) -> Iterator[Row]:
    """Yield the rows that aren't blank; the first of the lines has the number `first`."""
    reader = csv.reader(chain(lines, [END]), delimiter=separator)
    following = first
    for row in reader:
        if row == [END]:
            return
        line = following
        following = reader.line_num + first
        if row:
            yield line, row
    raise CatalogError(
        f"{table}: the quote opened in the row that starts at line {line} is never closed."
    )


@contextmanager
def _open(table: str | Path) -> Iterator[Iterator[str]]:
    kind = PurePosixPath(str(table)).suffix
    with open_file(table) as file:
        if kind == ".zip":
            with (
                zipfile.ZipFile(file) as archive,
                archive.open(_only_table(archive, table)) as member,
            ):
                yield _text(member)
        elif kind == ".gz":
            with gzip.open(file) as unpacked:
                yield _text(cast(IO[bytes], unpacked))
        else:
            yield _text(file)


def _text(file: IO[bytes]) -> Iterator[str]:
    encoding = encoding_of(file.read(2))
    file.seek(0)
    return io.TextIOWrapper(file, encoding=encoding, newline="")


def _only_table(archive: zipfile.ZipFile, table: str | Path) -> str:
    names = [name for name in archive.namelist() if name.lower().endswith((".csv", ".tsv"))]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise CatalogError(
            f"{table}: the .zip must hold exactly one .csv or .tsv, but holds {names}."
        )
    return names[0]
