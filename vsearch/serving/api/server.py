import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn
import yaml
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import SettingsError

from vsearch.class_paths import trust
from vsearch.data.io.named_hosts import name_hosts
from vsearch.errors import BundleError, VsearchError
from vsearch.plain_text import on_terminal
from vsearch.serving.api.app import create_app
from vsearch.serving.api.logs import log_to_stderr
from vsearch.serving.api.settings import LOOPBACK, Settings, from_flags
from vsearch.serving.api.welcome import welcome

PREFIX = "VSEARCH_"
OF_THE_PAGE = "VSEARCH_SERVICE"
NO_BUNDLE = "name the BUNDLE: lightning_logs/version_N/bundle, or `bundle` in the settings."
FIRST_PAUSE_S = 2  # before opening a bundle is tried again; each pause is twice as long
LONGEST_PAUSE_S = 60
CLOSING_S = 1  # of the grace period: to cancel open requests, and to close
logger = logging.getLogger("vsearch.serving.api")


class CannotServe(VsearchError):
    """The service can't start; the message says why and what to do."""


def serve(bundle: Path | None, flags: list[str], file: Path | None) -> None:
    """Serve a bundle until a signal ends it.

    Args:
        bundle: its folder; None: the settings name it.
        flags: settings, as on a command line.
        file: a YAML file of settings.
    """

    def find_bundle() -> Path:
        try:
            found = bundle or _settings(flags, file).bundle
        except CannotServe as error:  # at a reload: the served bundle stays
            raise BundleError(str(error)) from error
        if found is None:
            raise BundleError(NO_BUNDLE)
        return found

    settings = _settings(flags, file)
    trust(settings.plugins)
    name_hosts(settings.store_hosts)
    check_address(settings)
    log_to_stderr(settings.log_level)
    for name in unknown_variables(os.environ):
        logger.warning(f"{name} in the environment isn't a setting: see --list-settings")
    if settings.behind_proxy and not settings.keys:
        logger.warning("there is no api_key: everyone who reaches the proxy has access")
    app = _opened(find_bundle, settings)
    if sys.stdout.isatty() and settings.port:
        print(on_terminal(welcome(app.state.service.now, settings)))

    # otherwise each JSON of many lists makes the collector scan all libraries, 0.5 s and more
    gc.freeze()
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=settings.behind_proxy,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=max(0, int(settings.grace_s) - CLOSING_S),
        )
    finally:
        gc.unfreeze()  # otherwise libraries report leaks at the end


def _opened(find_bundle: Callable[[], Path], settings: Settings) -> FastAPI:
    """Open the bundle; if settings say so, retry until that works."""
    # otherwise a container's first process ignores it
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    pause_s = FIRST_PAUSE_S
    told = ""
    try:
        while True:
            try:
                return create_app(find_bundle, settings)
            except (BundleError, OSError) as error:
                reason = _reason(error)
                if not settings.wait_for_bundle:
                    raise CannotServe(reason) from error
            if reason != told:
                logger.error(f"{reason} The service will try again until it can serve.")
            told = reason
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    finally:
        signal.signal(signal.SIGTERM, before)


def _reason(error: Exception) -> str:
    if not isinstance(error, PermissionError):
        return str(error)
    reader = f"the service's user, uid {os.geteuid()}," if hasattr(os, "geteuid") else "this user"
    return (
        f"{error.filename}: {reader} may not read it. Let it: `chmod -R a+rX` on the bundle, and "
        "a+x on the folders above it."
    )


def check_address(settings: Settings) -> None:
    """Check, before a bundle is opened, that the service can listen at its address."""
    host = settings.host
    if host not in LOOPBACK and not settings.behind_proxy:
        raise CannotServe(
            f"host {host} can be reached from outside, but uvicorn alone can't handle slow or many "
            "clients. Put a proxy in front (docs/service-settings.md) and set --behind-proxy true, "
            "or listen at 127.0.0.1."
        )
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if os.name == "posix":  # otherwise the port of a just-ended service seems taken
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, settings.port))
    except OSError as error:
        raise CannotServe(
            f"can't listen at port {settings.port} of {host} ({error.strerror or error}). "
            "Another service may be running there: end it, or choose another port with --port."
        ) from error


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return environment names that look like settings but aren't."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {OF_THE_PAGE}
    ours = [name for name in names if name.upper().startswith(PREFIX)]
    return sorted(name for name in ours if name.upper() not in known)


def listed() -> list[str]:
    """Return a line for each setting: flag, default, description."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "none" if field.default in (None, "", []) else field.default
        lines.append(f"--{name.replace('_', '-')}  ({default})  {field.description}")
    return lines


def _settings(flags: list[str], file: Path | None) -> Settings:
    if file is not None:
        _check(file)
    try:
        return from_flags(flags, file)
    except ValidationError as error:  # its text would show values, which may be keys
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise CannotServe(f"settings: {'; '.join(wrong)}") from error
    except SettingsError as error:
        raise CannotServe(f"settings: {error}") from error


def _check(file: Path) -> None:
    if not file.is_file():
        raise CannotServe(f"{file}: no such settings file.")
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise CannotServe(f"{file} isn't a readable YAML file: {error}") from error
    named = isinstance(found, dict) and all(isinstance(name, str) for name in found)
    if found is not None and not named:
        raise CannotServe(f"{file}: settings are lines of `name: value`, such as `port: 8001`.")
