"""offer a bundle over HTTP

Opens and checks the BUNDLE of a run, and answers searches by photo, by items and by embedding; the
manual is at /docs. Every setting is a flag (--port 8001), an environment variable (VSEARCH_PORT) or
a line of the YAML file of --settings (port: 8001); --list-settings shows them all. SIGHUP opens the
bundle again as it stands; SIGTERM ends the service once what it has taken in is answered. Needs the
extra: uv sync --extra serve
"""

import argparse
import itertools
import signal
import sys
from pathlib import Path

EXTRA = (
    "fastapi",
    "uvicorn",
    "python_multipart",
    "prometheus_client",
    "pydantic_settings",
    "starlette",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = "%(prog)s [BUNDLE] [--settings FILE] [--list-settings] [--SETTING VALUE ...]"
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML file of settings")
    parser.add_argument("--list-settings", action="store_true", help="show all settings and end")
    parser.set_defaults(
        overrides=[]
    )  # settings, and the bundle: argparse would take an unknown flag's value for it


def run(args: argparse.Namespace) -> None:
    """Serve until a signal ends it; what can't be served ends the program with its message and
    status 1.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(
            signal.SIGHUP, signal.SIG_IGN
        )  # else it would end the process until the service handles it
    try:
        from vsearch.serving.api import server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        sys.exit(
            f"vsearch serve: {error.name} is not installed. Install the extra: uv sync --extra "
            "serve"
        )
    if args.list_settings:
        print("\n".join(server.listed()))
        return
    bundle, flags = split(args.overrides)
    try:
        server.serve(bundle, flags, args.settings)
    except server.CannotServe as error:
        sys.exit(f"vsearch serve: {error}")


def split(words: list[str]) -> tuple[Path | None, list[str]]:
    """Return the bundle, if it is named, and the flags, each of which has a value: its own by = or
    the next word.

    Raises:
        SystemExit: several bundles are named.
    """
    bundles, flags, rest = [], list[str](), iter(words)
    for word in rest:
        if not word.startswith("-"):
            bundles.append(word)
        else:
            flags += [word] if "=" in word else [word, *itertools.islice(rest, 1)]
    if len(bundles) > 1:
        sys.exit(f"vsearch serve: one BUNDLE at a time, not {', '.join(bundles)}")
    return (Path(bundles[0]) if bundles else None), flags
