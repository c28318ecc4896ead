"""Texts and tables that programs like to read otherwise than they are written, or obey."""

import csv
import io
from collections.abc import Sequence

# Codes and words that a guess would turn into numbers, dates or nothing.
READ_AS_WRITTEN = [
    "007",
    "1e5",
    "12E3",
    "19.90",
    "4006381333931",
    "12345678901234567",
    "+1",
    "0x1F",
    "1_000",
    "NA",
    "None",
    "null",
    "n/a",
    "NaN",
    "nan",
    "inf",
    "-",
    "True",
    "2024-02-03",
    "#N/A",
    "x",
]
FORMULAS = ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
LINE_BREAKS = ["two\nlines", "two\r\nlines", 'a "big", red\nbag\rand\r\nmore']
# What a terminal would obey, or show otherwise.
ESCAPES = ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\x00\x07\x1b[31m", "abc\u202egnp.exe"]
ON_TERMINALS = "[bold red]x[/] \x1b[2J\n\u202e"
MARKUP = """<script>alert("1")</script>'&[bold]\x1b[31m"""
SCRIPT = (
    "</script><script>window.hacked = 1</script>"
    "<img src=x onerror='window.hacked=1'>&amp;\"'{{ 7*7 }}"
)
NOT_UTF8 = b"id,label\n1,\xff\xfe\n"


def texts() -> list[str]:
    """All of them."""
    return [
        *READ_AS_WRITTEN,
        *FORMULAS,
        *LINE_BREAKS,
        *ESCAPES,
        ON_TERMINALS,
        MARKUP,
        SCRIPT,
        "x" * 10_000,
    ]


def csv_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """A table whose cells are quoted wherever they must be."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode()
