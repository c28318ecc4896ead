import gc
import logging
import os
from pathlib import Path

import uvicorn
import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsError

from vsearch.errors import BundleError
from vsearch.serving.api.app import create_app
from vsearch.serving.api.logs import log_to_stderr
from vsearch.serving.api.settings import LOOPBACK, Settings, from_flags
from vsearch.serving.api.startup import strangers, told, unusable

logger = logging.getLogger("vsearch.serving.api")


class CannotServe(Exception):
    """The service can't start; the message says why and what to do."""


def serve(bundle: Path | None, flags: list[str], file: Path | None) -> None:
    """Serve a bundle until a signal ends it.

    Args:
        bundle: its folder; None: the settings name it.
        flags: settings, as on a command line.
        file: of settings, in YAML.

    Raises:
        CannotServe: settings or bundle are no good.
    """
    settings = _settings(flags, file)
    if settings.host not in LOOPBACK and not settings.behind_proxy:
        raise CannotServe(
            f"host {settings.host} is reached from outside, and uvicorn alone is no match for slow "
            "or many clients. Put a proxy in front (see docs/service.md) and say --behind-proxy "
            "true, or listen at 127.0.0.1."
        )
    if taken := unusable(settings.host, settings.port):
        raise CannotServe(taken)
    log_to_stderr(settings.log_level)
    for name in strangers(os.environ):
        logger.warning(f"{name} in the environment is no setting: --list-settings has them all")

    def source() -> Path:
        try:
            found = bundle or _settings(flags, file).bundle
        except CannotServe as error:  # at a reload: the bundle that is served stays
            raise BundleError(str(error)) from error
        if found is None:
            raise BundleError(
                "name the BUNDLE: lightning_logs/version_N/bundle, or `bundle` in the settings."
            )
        return found

    try:
        app = create_app(source, settings)
    except (BundleError, OSError) as error:
        raise CannotServe(str(error)) from error
    # else each JSON of many lists has the libraries' objects gone through again, 0.5 s and more
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
            timeout_graceful_shutdown=int(settings.grace_s),
        )
    finally:
        gc.unfreeze()  # else libraries complain at the end of what they take for leaks


def listed() -> list[str]:
    """Return a line for each setting: flag, default, what it is."""
    fields = Settings.model_fields.items()
    return [
        f"--{name.replace('_', '-')}  "
        f"({field.default if field.default not in (None, '', []) else 'none'})  {field.description}"
        for name, field in fields
    ]


def _settings(flags: list[str], file: Path | None) -> Settings:
    if file is not None:
        _check(file)
    try:
        return from_flags(flags, file)
    except ValidationError as error:
        raise CannotServe(f"settings: {told(error)}") from error
    except SettingsError as error:
        raise CannotServe(f"settings: {error}") from error


def _check(file: Path) -> None:
    if not file.is_file():
        raise CannotServe(f"{file}: no such file of settings.")
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise CannotServe(f"{file} is no YAML file that can be read: {error}") from error
    if found is not None and not (
        isinstance(found, dict) and all(isinstance(name, str) for name in found)
    ):
        raise CannotServe(f"{file}: settings are lines of `name: value`, such as `port: 8001`.")
