import difflib
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jsonargparse import ArgumentParser

from vsearch.errors import ConfigError
from vsearch.training.checks.config_files import unreadable

STUDY_SETTINGS = ("baseline", "seeds", "rank_by", "monitor", "cells")

# Messages of jsonargparse 4.53, which pyproject.toml pins. First those that say where something is
# wrong: each of them encloses another message.
KEY = re.compile(r'Parser key "([^"]+)"(?: element \d+)?:(.*)', re.S)
CLASS = re.compile(r"Problem with given class_path '([^']+)':(.*)", re.S)
CALLABLE = re.compile(r"Type \S*Callable\[.*? expects a function or a callable class: (.*)", re.S)
ANY = re.compile(r"Invalid subclass spec given as value for type .+?: (.*)", re.S)
NO_FILE = re.compile(r"^- Expected a path but .*? either not accessible or invalid\n- ", re.S)
UNION = re.compile(
    r"Does not validate against any.*?Subtypes: \[(?P<types>.*?)\]\s+"
    r"Errors:\n(?P<errors>.*)\n\s*Given value type: .*?Given value: (?P<value>.*)",
    re.S,
)
ABOUT_A_CLASS = re.compile(
    "Problem with|Type |Import path|Expected an instant|Multiple|Invalid subclass"
)

# Then those that say what is wrong.
UNKNOWN = re.compile(
    r"(?:unrecognized arguments: --"
    r"|Option '"
    r"|(?:Subcommand|Group) '\S+' does not accept option ')([\w.+-]+)"
)
REQUIRED = re.compile(r"the following arguments are required: (.*)", re.S)
SUBCOMMAND = re.compile(r"^(?:fit|validate|test|predict)\.")
ARGUMENT = re.compile(r"argument (?:-\w/)?--(\S+): (.*)", re.S)
NO_ATTRIBUTE = re.compile(r"module '(\S+)' has no attribute '(\w+)'")
SAID_BETTER = {
    r"Import path (\S+) does not correspond to a subclass of (\w+)": (
        "{} isn't a {}; give the full class_path of one"
    ),
    r"Expected a dot import path string: (.*)": (
        "{!r} isn't a full class_path such as package.module.Class"
    ),
    r"Not a valid subclass of (\w+)\. Got value: (.*?)\nSubclass types": (
        "expected the class_path of a {}, got {}"
    ),
    r"Expected an? (.+?)\. Got value: (.*)": "expected {}, got {!r}",
}


@dataclass(frozen=True)
class Place:
    """Where in the configuration something is wrong.

    Attributes:
        key: dotted; empty at the top.
        class_path: of the class with these settings; empty if the message doesn't name it, None if
            there is no class.
        settings: the key above the class's settings.
    """

    key: str = ""
    class_path: str | None = None
    settings: str = "init_args"

    def under(self, name: str) -> str:
        """Return the key of a setting at this place."""
        steps = [self.key, "" if self.class_path is None else self.settings, name]
        return ".".join(filter(None, steps))


@dataclass(frozen=True)
class Reason:
    """What is wrong, in jsonargparse's words, and where."""

    text: str
    place: Place


def parse_error(message: str, words: Sequence[str], settings: Iterable[str]) -> ConfigError:
    """Return jsonargparse's message in one line that names the key.

    `words` are the command line, `settings` the command's dotted keys.
    """
    if message.startswith(("Problems parsing config", "Unexpected config")):
        file_error = unreadable(words)
        if file_error is not None:
            return file_error
    message = re.sub(r"typing\.Literal\[([^]]*)\]", r"\1", message)
    message = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message).replace("NoneType", "null")
    return _explain(_innermost(message, Place()), list(settings))


def _innermost(text: str, place: Place) -> Reason:
    """Return the innermost reason in a message."""
    text = NO_FILE.sub("", textwrap.dedent(text).strip())
    if found := KEY.match(text):
        return _innermost(found[2], Place(place.under(found[1])))
    if found := CLASS.match(text):
        return _innermost(found[2], Place(place.key, found[1]))
    if found := CALLABLE.match(text):
        reason, _, value = found[1].rpartition(". Got value: ")
        class_path = re.search(r".*class_path='([^']+)'", value, re.S)
        return _innermost(reason or value, Place(place.key, class_path[1] if class_path else ""))
    if found := ANY.match(text):
        return _innermost(found[1], Place(place.key, ""))
    if found := UNION.match(text):
        return _of_union(found["types"], found["errors"], found["value"], place)
    return Reason(text, place)


def _of_union(types: str, errors: str, value: str, place: Place) -> Reason:
    """Return why the intended type, of several, doesn't accept a value."""
    branches = re.split(r"(?m)^- ", textwrap.dedent(errors))[1:]
    meant = next((branch for branch in branches if ABOUT_A_CLASS.match(branch)), None)
    if meant is None:
        return Reason(f"Expected a {types}. Got value: {value}", place)
    if untyped := ANY.match(meant):
        class_path = re.search(r"'class_path': '([^']+)'", value)
        return Reason(untyped[1], Place(place.key, class_path[1] if class_path else ""))
    if types.startswith("list[") and (item := CLASS.match(meant)):
        place = Place(f"{place.key}[{_class_name(item[1])}]")
    if types.startswith("dict[") and (entry := CLASS.match(meant)):  # its name is left out
        return _innermost(entry[2], Place(f"{place.key}.*", entry[1], settings=""))
    # In a union, the message leaves the value out.
    return _innermost(meant.replace("Import path does", f"Import path {value} does"), place)


def _explain(reason: Reason, settings: list[str]) -> ConfigError:
    text = reason.text
    place = reason.place
    if found := UNKNOWN.match(text):
        if place.class_path is None:
            return _unknown_setting(found[1], settings)
        return _unknown_argument(found[1], place)
    if found := REQUIRED.match(text):
        names = [SUBCOMMAND.sub("", name) for name in found[1].split(", ")]
        keys = ", ".join(map(place.under, names))
        owner = _class_name(place.class_path) or "vsearch"
        return ConfigError(keys, f"{owner} needs this setting")
    if found := ARGUMENT.match(text):
        return ConfigError(*found.groups())
    if found := NO_ATTRIBUTE.match(text):
        module, name = found.groups()
        known = [known for known in dir(sys.modules.get(module)) if not known.startswith("_")]
        return ConfigError(place.key, f"there is no {module}.{name}{_suggestion(name, known)}")
    for shape, better in SAID_BETTER.items():
        if found := re.match(shape, text, re.S):
            return ConfigError(place.key, better.format(*found.groups()))
    return ConfigError(
        place.key or "command line", f"{place.class_path}: {text}" if place.class_path else text
    )


def _unknown_argument(name: str, place: Place) -> ConfigError:
    first, dot, _ = name.partition(".")
    if dot and first != "init_args" and difflib.get_close_matches(first, ["init_args"]):
        return ConfigError(f"{place.key}.{first}", "no such setting; did you mean init_args?")
    suggestion = _suggestion(name, _parameters(place.class_path or ""))
    owner = _class_name(place.class_path) or "the class"
    return ConfigError(place.under(name), f"{owner} has no such setting{suggestion}")


def _unknown_setting(name: str, settings: list[str]) -> ConfigError:
    section, *below = name.split(".")
    if section in STUDY_SETTINGS:
        return ConfigError(
            name,
            "belongs to a study: run `vsearch study FILE --config ...`, without its file here",
        )
    known = [key for key in settings if key.startswith(f"{section}.")] or settings
    suggestion = _suggestion(".".join([section, *below[:1]]), known)
    return ConfigError(name, f"no such setting{suggestion}")


def _class_name(class_path: str | None) -> str:
    return (class_path or "").rpartition(".")[2]


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, cutoff=0.7)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; available: {', '.join(known)}" if 0 < len(known) <= 20 else ""


def _parameters(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    component = getattr(sys.modules.get(module), name, None)
    if not isinstance(component, type):
        return []
    found = ArgumentParser(exit_on_error=False).add_class_arguments(component, fail_untyped=False)
    filled_in = ("params", "optimizer")
    return [name for name in found if "." not in name and name not in filled_in]
