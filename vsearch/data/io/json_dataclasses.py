from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints


def to_json(value: Any) -> Any:
    """Return a dataclass as plain JSON values, including dataclasses inside lists and mappings.

    A field at its default is left out, so a section that wasn't measured is absent.
    """
    if is_dataclass(value):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        return {
            field.name: to_json(found[field.name])
            for field in fields(value)
            if found[field.name] != _default(field)
        }
    if isinstance(value, dict):
        return {name: to_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [to_json(one) for one in value]
    return value


def from_json(kind: Any, value: Any) -> Any:
    """Read what `to_json` returned as `kind`; values that aren't dataclasses stay as they are.

    Unknown entries are ignored; an entry that may be None may be missing.

    Raises:
        TypeError, AttributeError: an entry is missing, or the value has another shape.
    """
    if is_dataclass(kind):
        return kind(**_arguments(kind, value))  # type: ignore[operator]
    inner = get_args(kind)
    if NoneType in inner:
        return None if value is None else from_json(inner[0], value)
    if get_origin(kind) is list:
        return [from_json(inner[0], one) for one in value]
    if get_origin(kind) is dict:
        return {name: from_json(inner[1], one) for name, one in value.items()}
    return value


def _arguments(kind: Any, value: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    arguments = {}
    for field in fields(kind):
        hint = hints[field.name]
        if field.name in value:
            arguments[field.name] = from_json(hint, value[field.name])
        elif _default(field) is MISSING and NoneType in get_args(hint):
            arguments[field.name] = None
    return arguments


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
