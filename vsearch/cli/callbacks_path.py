from importlib import import_module
from pathlib import Path

import vsearch
from vsearch.class_paths import add_current_folder

NAME = "callbacks"


def join_callbacks() -> None:
    """Let configs name classes in the current folder, and both packages that are called callbacks.

    A user's own `callbacks`, a package or a file, would hide vsearch's. Python looks in both from
    here on.
    """
    add_current_folder()
    found = import_module(NAME)
    own = str(Path(vsearch.__file__).parent.with_name(NAME))
    path = getattr(found, "__path__", [])
    if own not in path:
        found.__path__ = [*path, own]
