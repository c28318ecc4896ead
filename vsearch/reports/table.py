from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.indexes.choice import Loss
from vsearch.plain_text import in_markdown, on_terminal

GAP = 2  # spaces between columns


@dataclass(frozen=True)
class Table:
    """A table of text, for Markdown and for the terminal."""

    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rule = "|" + " --- |" * len(self.header)
        header, *rows = [_markdown_row(line) for line in (self.header, *self.rows)]
        return "\n".join([header, rule, *rows])

    def show(self, title: str, console: Console) -> None:
        """Print the table, or its rows as lists if its words need more room."""
        rows = [[on_terminal(cell) for cell in row] for row in self.rows]
        room = console.width - GAP * (len(self.header) - 1)
        widths = column_widths([*zip(self.header, *rows, strict=True)], room)
        console.print(Text(title, "italic"))
        if widths is None:
            self._show_lists(rows, console)
            return
        shown = RichTable(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0)
        )
        for name, width in zip(self.header, widths, strict=True):
            shown.add_column(name, width=width)
        for row in rows:
            shown.add_row(*map(Text, row))
        console.print(shown, "")

    def _show_lists(self, rows: list[list[str]], console: Console) -> None:
        for row in rows:
            shown = RichTable.grid(padding=(0, GAP))
            for name, cell in zip(self.header, row, strict=True):
                shown.add_row(Text(name, "bold"), Text(cell))
            console.print(shown, "")


def column_widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return each column's width in characters; the widest columns are narrowed.

    Args:
        columns: each column's cells.
        room: characters for all columns together.

    Returns:
        None: there isn't enough room for the longest word of each column.
    """
    widths = [max(map(cell_len, cells)) for cells in columns]
    words = [" ".join(cells).split() for cells in columns]
    longest_words = [max(map(cell_len, each), default=0) for each in words]
    while sum(widths) > room:
        wide = [n for n, width in enumerate(widths) if width > longest_words[n]]
        if not wide:
            return None
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(map(in_markdown, cells)) + " |"


def interval(found: Estimate | Difference | Loss, form: str = ".3f") -> str:
    """Return a value and the ends of its 95 % interval."""
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"
