from dataclasses import dataclass

from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate


@dataclass(frozen=True)
class Table:
    """A table of text, for Markdown and for the terminal."""

    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(_markdown_row(line) for line in lines)

    def show(self, title: str, console: Console) -> None:
        """Print the table."""
        columns = [Column(name, overflow="fold") for name in self.header]
        shown = RichTable(*columns, title=title, title_justify="left")
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def interval(found: Estimate | Difference, form: str = ".3f") -> str:
    """Return a value and the ends of its 95 % interval."""
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"
