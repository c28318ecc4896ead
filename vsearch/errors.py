import re

KEYED = re.compile(r"`((?:model|data|trainer)\.[^`]+)`:? (.*)")


class VsearchError(ValueError):
    """What a user can cause and mend; the message says what is wrong, where, and what to do."""


class Failed(VsearchError):
    """What was asked for could be tried, but it failed: a bound is missed, a check finds damage."""


class BundleError(VsearchError):
    """A bundle can't be served or changed: a file is missing, damaged, foreign, or in use."""


class ConfigError(VsearchError):
    """A setting can't be used. The message is one line: the setting's key, then what is wrong and
    what would be right.

    Args:
        key: the setting, as in YAML, dotted; an item of a list by its class:
            `trainer.callbacks[EarlyStopping]`.
        reason: text; line breaks are taken out, and a reason that begins with a key in backticks
            keeps that one.
    """

    def __init__(self, key: str, reason: str) -> None:
        line = one_line(reason)
        own = KEYED.match(line)
        super().__init__(f"{own[1]}: {own[2]}" if own else f"{key}: {line}")


def one_line(text: object) -> str:
    """Return the text without line breaks and runs of blanks."""
    return " ".join(str(text).split())
