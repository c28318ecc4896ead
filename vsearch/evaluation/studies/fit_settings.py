import json
from collections.abc import Iterator, Mapping
from typing import Any

# Settings that don't change what is learned.
FREE = ("trainer.logger", "ckpt_path", "trainer.enable_progress_bar", "data.num_workers")
MEASURED_ON = ("data.catalog", "data.split")  # settings that determine the queries
LOGGER = "lightning.pytorch.loggers.TensorBoardLogger"


def watching(callbacks: Any, monitor: str) -> list[Any]:
    """Return a fit's callbacks; those that monitor a metric get this one, higher is better."""
    found = []
    for callback in _list(callbacks):
        settings = callback.get("init_args") or {}
        if settings.get("monitor") is not None and "mode" in settings:
            watched = {**settings, "monitor": monitor, "mode": "max"}
            callback = {**callback, "init_args": watched}
        found.append(callback)
    return found


def unused_loggers(settings: Mapping[str, Any]) -> set[str]:
    """Return the loggers in a fit's settings that a study leaves out."""
    loggers = _list(settings["trainer"]["logger"])
    return {logger["class_path"] for logger in loggers if isinstance(logger, dict)} - {LOGGER}


def changes(
    one: dict[str, Any], other: dict[str, Any], name: str, other_name: str
) -> Iterator[str]:
    """Yield the settings of two flat tables that differ, in words."""
    for key in sorted({*one, *other}):
        value = json.dumps(one[key]) if key in one else "not set"
        other_value = json.dumps(other[key]) if key in other else "not set"
        if value != other_value:
            yield f"{key}: {value} ({name}), {other_value} ({other_name})"


def _list(setting: Any) -> list[Any]:
    if isinstance(setting, list):
        return setting
    return [setting] if setting else []
