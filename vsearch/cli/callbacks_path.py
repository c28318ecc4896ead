import sys
from importlib import import_module
from pathlib import Path

import vsearch

NAME = "callbacks"


def join_callbacks() -> None:
    """Let configs name classes in the current folder, and both packages that are called callbacks.

    A user's own `callbacks`, a folder or a file, would hide vsearch's. Python looks in both from
    here on, in the user's first.
    """
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):  # it is there already after `python -m`
        sys.path.insert(0, here)
    found = import_module(NAME)
    own = str(Path(vsearch.__file__).parent.with_name(NAME))
    path = getattr(found, "__path__", [])
    if own not in path:
        found.__path__ = [*path, own]
