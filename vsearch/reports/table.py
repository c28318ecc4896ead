from dataclasses import dataclass

from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.plain_text import in_markdown, on_terminal


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
        """Print the table."""
        columns = [Column(name, overflow="fold") for name in self.header]
        shown = RichTable(*columns, title=title, title_justify="left")
        for row in self.rows:
            shown.add_row(*[Text(on_terminal(cell)) for cell in row])
        console.print(shown)


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(map(in_markdown, cells)) + " |"


def interval(found: Estimate | Difference, form: str = ".3f") -> str:
    """Return a value and the ends of its 95 % interval."""
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"
