import logging
from importlib import import_module
from pathlib import Path

import vsearch
from vsearch.class_paths import add_current_folder

log = logging.getLogger(__name__)
NAME = "callbacks"


def join_callbacks() -> None:
    """Let configs name classes in the current folder and in both packages called callbacks.

    A user's own `callbacks`, a package or a file, would hide vsearch's. From here on, Python looks
    in both, first in the user's; a module there that hides one of vsearch's causes a warning.
    """
    add_current_folder()
    found = import_module(NAME)
    own = Path(vsearch.__file__).parent.with_name(NAME)
    path = getattr(found, "__path__", [])
    if str(own) not in path:
        found.__path__ = [*path, str(own)]
    users = Path.cwd() / NAME
    for module in users.glob("[!_]*.py"):
        if users != own and (own / module.name).exists():
            log.warning("%s replaces vsearch's module: rename it if you don't want that.", module)
