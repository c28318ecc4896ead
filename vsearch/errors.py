import re

KEYED = re.compile(r"`((?:model|data|trainer)\.[^`]+)`:? (.*)")


class VsearchError(ValueError):
    """A user can cause and fix it; the message says what is wrong, where, and what to do."""


class Failed(VsearchError):
    """The command ran, and its result is a failure: a bound is missed, a check finds damage."""


class BundleError(VsearchError):
    """A bundle can't be served or changed: a file is missing, damaged, foreign, or in use."""


class ConfigError(VsearchError):
    """A setting can't be used. The message is one line: its key, what is wrong, and what would be
    right.

    Args:
        key: the setting's dotted path in YAML; list items are named by class:
            `trainer.callbacks[EarlyStopping]`.
        reason: text; line breaks are removed, and a reason that begins with a key in backticks
            keeps that key.
    """

    def __init__(self, key: str, reason: str) -> None:
        line = one_line(reason)
        own = KEYED.match(line)
        super().__init__(f"{own[1]}: {own[2]}" if own else f"{key}: {line}")


def one_line(text: object) -> str:
    """Return the text without line breaks and repeated spaces."""
    return " ".join(str(text).split())
