"""What is looked at before a bundle is opened, which takes seconds."""

import os
import socket
from collections.abc import Iterable

from pydantic import ValidationError

from vsearch.serving.api.settings import Settings

PREFIX = "VSEARCH_"
OF_THE_PAGE = "VSEARCH_SERVICE"


def unusable(host: str, port: int) -> str | None:
    """Return why nothing can listen at an address, and what to do; None: it can."""
    try:
        with socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET
        ) as probe:  # bound only: nobody connects
            if (
                os.name == "posix"
            ):  # as asyncio does: else the port of a service that has just ended counts as taken
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return None
    except OSError as error:
        return (
            f"port {port} of {host} can't be listened at ({error.strerror or error}). Another "
            "service may be running there: end it, or choose another port with --port."
        )


def strangers(names: Iterable[str]) -> list[str]:
    """Return those of the environment's names that look like settings and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {OF_THE_PAGE}
    return sorted(
        name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known
    )


def told(error: ValidationError) -> str:
    """Return what is wrong with which setting, without its value, which may be a key."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
