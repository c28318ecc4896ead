"""offer a bundle over HTTP

Opens and checks the bundle of a run, and answers searches by photo, by items and by embedding; the manual is at /docs.
Every setting is a flag (--port 8001), an environment variable (VSEARCH_PORT) or a line of the YAML file of --settings
(port: 8001); --list-settings shows them all. SIGHUP opens the bundle again as it stands; SIGTERM ends the service once
what it has taken in is answered. Needs the extra: uv sync --extra serve
"""

import argparse
import sys
from pathlib import Path

EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pydantic_settings", "starlette")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", type=Path, nargs="?", help="a run's bundle, unless the settings name it")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="YAML file of settings")
    parser.add_argument("--list-settings", action="store_true", help="show all settings and end")
    parser.set_defaults(overrides=[])  # other flags are settings


def run(args: argparse.Namespace) -> None:
    """Serve until a signal ends it; what can't be served ends the program with its message and status 1."""
    try:
        from vsearch.service import server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        sys.exit(f"vsearch serve: {error.name} is not installed. Install the extra: uv sync --extra serve")
    if args.list_settings:
        print("\n".join(server.listed()))
        return
    try:
        server.serve(args.bundle, args.overrides, args.settings)
    except server.CannotServe as error:
        sys.exit(f"vsearch serve: {error}")
