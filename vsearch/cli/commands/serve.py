"""offer a bundle over HTTP

Opens and checks the BUNDLE of a run, and answers searches by photo, by items and by embedding; the
manual is at /docs. Every setting is a flag (--port 8001), an environment variable (VSEARCH_PORT) or
a line in the YAML file of --settings (port: 8001); --list-settings shows them all. SIGHUP reopens
the bundle; SIGTERM ends the service after it has answered all accepted requests. Needs the
extra: uv sync --extra serve
"""

import argparse
import itertools
import signal
from pathlib import Path

from vsearch.errors import VsearchError
from vsearch.optional_packages import require

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
    # the settings, and the bundle: argparse would take an unknown flag's value for it
    parser.set_defaults(overrides=[])


def run(args: argparse.Namespace) -> None:
    """Serve until a signal ends it."""
    if hasattr(signal, "SIGHUP"):
        # otherwise it ends the process until the service handles it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for package in EXTRA:
        require(package, "serve")
    from vsearch.data.items import keep_pandas_out

    keep_pandas_out()
    from vsearch.serving.api import server

    if args.list_settings:
        print("\n".join(server.listed()))
        return
    bundle, flags = split(args.overrides)
    server.serve(bundle, flags, args.settings)


def split(words: list[str]) -> tuple[Path | None, list[str]]:
    """Return the bundle, if it is named, and the flags, each with its value: `--a=1` or `--a 1`."""
    bundles = []
    flags = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            bundles.append(Path(word))
            continue
        flags.append(word)
        if "=" not in word:
            flags += itertools.islice(rest, 1)
    if len(bundles) > 1:
        raise VsearchError(f"name one BUNDLE, not {', '.join(map(str, bundles))}")
    return (bundles[0] if bundles else None), flags
