import re
from typing import Any

MARKS = re.compile(r"[\\|*<&`]|~~|\](?=[(\[])|(?<!\w)_|_(?!\w)")
LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def on_terminal(text: str) -> str:
    """Return text with control characters other than line breaks written as codes: they could move
    the cursor, change the window's title or reverse words.
    """
    return "".join(one if one.isprintable() or one == "\n" else _code(one) for one in text)


def in_markdown(text: str) -> str:
    """Return text as one line in which Markdown and HTML are escaped."""
    return MARKS.sub(lambda mark: f"\\{mark[0]}", LINE_BREAKS.sub(" ", text))


def in_spreadsheet(value: Any) -> Any:
    """Return a value that a spreadsheet shows as text, not as a formula to run.

    For tables that vsearch doesn't read back.
    """
    if isinstance(value, str) and value.startswith(FORMULAS):
        return f"'{value}"
    return value


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
