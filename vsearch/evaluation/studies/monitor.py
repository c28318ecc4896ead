from typing import Any


def watching(callbacks: Any, monitor: str) -> list[Any]:
    """Return a fit's callbacks so that those which look at a metric look at this one, more of it
    being better.
    """
    each = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
    return [_watching(callback, monitor) for callback in each]


def _watching(callback: dict[str, Any], monitor: str) -> dict[str, Any]:
    settings = callback.get("init_args") or {}
    if settings.get("monitor") is None or "mode" not in settings:
        return callback
    return {**callback, "init_args": {**settings, "monitor": monitor, "mode": "max"}}
