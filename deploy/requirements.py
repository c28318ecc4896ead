"""Prints the requirements of an image, one per line, from groups and extras of pyproject.toml.

    python requirements.py serving,serve,pgvector

vsearch's own dependencies are left out, except those that a group names: the service needs some of
them, the page none.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

FILE = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
LISTS = FILE["project"]["optional-dependencies"] | FILE["dependency-groups"]


WITH_VERSIONS = {re.split(r"[\[<>=]", one)[0]: one for one in FILE["project"]["dependencies"]}


def requirements(name: str) -> Iterator[str]:
    """Yield the requirements of a group or an extra, with versions of vsearch's dependencies."""
    if name not in LISTS:
        raise SystemExit(f"pyproject.toml has no group and no extra {name!r}")
    for one in LISTS[name]:
        own = re.fullmatch(r"vsearch\[(.+)\]", one)
        if own:
            yield from requirements(own[1])
        else:
            yield WITH_VERSIONS.get(one, one)


if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        print(*requirements(name), sep="\n")
