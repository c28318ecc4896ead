"""open a page in the browser that searches by photo

Runs the page (Streamlit), which talks only to a running service (`vsearch serve BUNDLE`). If the
service needs a key, set VSEARCH_API_KEY.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from vsearch.errors import VsearchError

PAGE = Path(__file__).parents[2] / "serving" / "page" / "main.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    url = os.environ.get("VSEARCH_SERVICE", "http://127.0.0.1:8000")
    parser.add_argument(
        "--service", default=url, metavar="URL", help=f"where the service is (default: {url})"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: 8501)")
    parser.add_argument(
        "--base-path", default="", metavar="PATH", help="path under which a proxy serves the page"
    )
    parser.add_argument(
        "--max-upload-mb",
        type=int,
        default=40,
        metavar="MB",
        help="largest accepted photo (default: 40); those above 9 MB are made smaller for the "
        "service",
    )


def run(args: argparse.Namespace) -> None:
    """Become Streamlit, which runs until Ctrl-C or SIGTERM."""
    if find_spec("streamlit") is None:
        raise VsearchError("the page needs Streamlit: install the extra, `uv sync --extra ui`")
    if not _is_address(args.service):
        raise VsearchError(f"--service {args.service}: an address looks like http://127.0.0.1:8000")
    if not 0 < args.port < 65536:
        raise VsearchError(f"--port {args.port}: a port is 1 to 65535")
    os.environ["VSEARCH_SERVICE"] = args.service.rstrip("/")
    os.execv(sys.executable, command(args))


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that isn't a number, unclosed brackets
        return False


def command(args: argparse.Namespace) -> list[str]:
    """Return the command line that serves the page to visitors."""
    settings = {
        "server.address": args.host,
        "server.port": args.port,
        "server.baseUrlPath": args.base_path,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": args.max_upload_mb,
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    }
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *flags]
