"""Prints what an image installs, a requirement a line: groups and extras of pyproject.toml.

    python requirements.py serving,serve,pgvector

vsearch's own dependencies are left out, but for those that a group names: the service needs a part
of them, and the page none.
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
    """Return what a group or an extra names, with the versions of vsearch's dependencies."""
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
