"""Size and density of the code at several commits, side by side.

    python -m benchmarks.house [COMMIT ...]

Counts in `vsearch/` and `callbacks/`, as git has them: modules outside rooms, files, characters
without white space, characters per line (without indentation and blank lines), the share of lines
over 100 characters, functions of more than 50 lines, comprehensions per 1,000 lines, and lines of
tests per line of code.
"""

import ast
import io
import subprocess
import tarfile
from argparse import ArgumentParser
from dataclasses import dataclass, fields
from pathlib import PurePath

CODE = ("vsearch", "callbacks")
GROUND = ("__init__.py", "__main__.py")
LONG_LINE = 100
LONG_FUNCTION = 50
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class House:
    """What is counted of one commit."""

    loose_modules: int
    files: int
    characters: int
    characters_a_line: float
    long_lines: float
    long_functions: int
    comprehensions_in_1000_lines: float
    tests_to_code: float


def sources(commit: str) -> dict[PurePath, str]:
    """Return the Python files of a commit by their paths."""
    packed = subprocess.run(["git", "archive", commit], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = [member for member in archive if member.name.endswith(".py")]
        return {PurePath(file.name): archive.extractfile(file).read().decode() for file in files}  # type: ignore[union-attr]


def counted(files: dict[PurePath, str]) -> House:
    """Return what is counted of a commit's files."""
    code = {path: text for path, text in files.items() if path.parts[0] in CODE}
    tests = [text for path, text in files.items() if path.parts[0] == "tests"]
    lines = [line for text in code.values() for line in text.splitlines() if line.strip()]
    bare = [line.strip() for line in lines]
    nodes = [node for text in code.values() for node in ast.walk(ast.parse(text))]
    loose = [path for path in code if len(path.parts) == 2 and path.parts[0] == "vsearch"]
    return House(
        loose_modules=sum(path.name not in GROUND for path in loose),
        files=len(code),
        characters=sum(len("".join(text.split())) for text in code.values()),
        characters_a_line=sum(map(len, bare)) / len(bare),
        long_lines=sum(len(line) > LONG_LINE for line in lines) / len(lines),
        long_functions=sum(map(is_long, nodes)),
        comprehensions_in_1000_lines=1000
        * sum(isinstance(node, COMPREHENSIONS) for node in nodes)
        / len(lines),
        tests_to_code=sum(len(text.splitlines()) for text in tests)
        / sum(len(text.splitlines()) for text in code.values()),
    )


def is_long(node: ast.AST) -> bool:
    """Tell a function of more than 50 lines."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return (node.end_lineno or node.lineno) - node.lineno + 1 > LONG_FUNCTION


def main() -> None:
    """Print a table: a row a figure, a column a commit."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("commits", nargs="*", default=["HEAD"], metavar="COMMIT")
    commits = parser.parse_args().commits
    houses = [counted(sources(commit)) for commit in commits]

    print("| | " + " | ".join(commits) + " |")
    print("| --- |" + " --- |" * len(commits))
    for field in fields(House):
        values = [getattr(house, field.name) for house in houses]
        shown = [f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in values]
        print(f"| {field.name.replace('_', ' ')} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
