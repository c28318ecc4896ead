import difflib
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jsonargparse import ArgumentParser

from vsearch.errors import ConfigError
from vsearch.training.checks.config_files import unreadable

STUDY = ("baseline", "seeds", "rank_by", "monitor", "cells")

# What jsonargparse 4.53 says. First where: each of these encloses another message.
KEY = re.compile(r'Parser key "([^"]+)"(?: element \d+)?:(.*)', re.S)
CLASS = re.compile(r"Problem with given class_path '([^']+)':(.*)", re.S)
CALLABLE = re.compile(r"Type \S*Callable\[.*? expects a function or a callable class: (.*)", re.S)
ANY = re.compile(r"Invalid subclass spec given as value for type .+?: (.*)", re.S)
NO_FILE = re.compile(r"^- Expected a path but .*? either not accessible or invalid\n- ", re.S)
UNION = re.compile(
    r"Does not validate against any.*?Subtypes: \[(.*?)\]\s+Errors:\n(.*)\n\s*Given value type: .*?Given value: (.*)",
    re.S,
)
ABOUT_A_CLASS = re.compile(
    "Problem with|Type |Import path|Expected an instant|Multiple|Invalid subclass"
)
# Then what is wrong.
UNKNOWN = re.compile(
    r"(?:unrecognized arguments: --|Option '|(?:Subcommand|Group) '\S+' does not accept option ')([\w.+-]+)"
)
REQUIRED = re.compile(r"the following arguments are required: (.*)", re.S)
ARGUMENT = re.compile(r"argument (?:-\w/)?--(\S+): (.*)", re.S)
NO_ATTRIBUTE = re.compile(r"module '(\S+)' has no attribute '(\w+)'")
SAID_BETTER = {
    r"Import path (\S+) does not correspond to a subclass of (\w+)": "{} is no {}; give the full class_path of one",
    r"Expected a dot import path string: (.*)": "{!r} is no full class_path such as package.module.Class",
    r"Not a valid subclass of (\w+)\. Got value: (.*?)\nSubclass types": "expected the class_path of a {}, got {}",
    r"Expected an? (.+?)\. Got value: (.*)": "expected {}, got {!r}",
}


class Place(NamedTuple):
    """Where in the configuration a message is about; `class_path` is empty if the message doesn't
    tell it.
    """

    key: str = ""
    class_path: str | None = None

    def under(self, name: str) -> str:
        """Return the key of a setting of this part."""
        return ".".join(
            part
            for part in (self.key, "" if self.class_path is None else "init_args", name)
            if part
        )


def parse_error(message: str, words: Sequence[str], settings: Iterable[str]) -> ConfigError:
    """Return jsonargparse's message in one line that names the key; a shape unknown here keeps all
    its words.

    `words` are the command line, `settings` the dotted keys that the command takes.
    """
    if message.startswith(("Problems parsing config", "Unexpected config")) and (
        found := unreadable(words)
    ):
        return ConfigError(*found)
    message = re.sub(r"typing\.Literal\[([^]]*)\]", r"\1", message)
    message = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message).replace("NoneType", "null")
    return ConfigError(*_explain(*_walk(message, Place()), list(settings)))


def _walk(text: str, place: Place) -> tuple[str, Place]:
    """Follow the message into what it is about; return the innermost reason and its place."""
    text = NO_FILE.sub("", textwrap.dedent(text).strip())
    if found := KEY.match(text):
        return _walk(found[2], Place(place.under(found[1])))
    if found := CLASS.match(text):
        return _walk(found[2], Place(place.key, found[1]))
    if found := CALLABLE.match(text):
        reason, _, value = found[1].rpartition(". Got value: ")
        path = re.search(r".*class_path='([^']+)'", value, re.S)
        return _walk(reason or value, Place(place.key, path[1] if path else ""))
    if found := ANY.match(text):
        return _walk(found[1], Place(place.key, ""))
    if found := UNION.match(text):
        branches = re.split(r"(?m)^- ", textwrap.dedent(found[2]))[1:]
        chosen = next((branch for branch in branches if ABOUT_A_CLASS.match(branch)), None)
        if chosen is None:
            return f"Expected a {found[1]}. Got value: {found[3]}", place
        if untyped := ANY.match(chosen):
            path = re.search(r"'class_path': '([^']+)'", found[3])
            return untyped[1], Place(place.key, path[1] if path else "")
        if found[1].startswith("list[") and (item := CLASS.match(chosen)):
            place = Place(f"{place.key}[{item[1].rpartition('.')[2]}]")
        return _walk(
            chosen.replace("Import path does", f"Import path {found[3]} does"), place
        )  # it takes values out
    return text, place


def _explain(leaf: str, place: Place, settings: list[str]) -> tuple[str, str]:
    """Return the key and the reason, with what would be right."""
    if found := UNKNOWN.match(leaf):
        return _unknown(found[1], place, settings)
    if found := REQUIRED.match(leaf):
        keys = [
            place.under(re.sub(r"^(fit|validate|test|predict)\.", "", key))
            for key in found[1].split(", ")
        ]
        return ", ".join(
            keys
        ), f"{(place.class_path or 'vsearch').rpartition('.')[2]} needs this setting"
    if found := ARGUMENT.match(leaf):
        return found[1], found[2]
    if found := NO_ATTRIBUTE.match(leaf):
        known = [name for name in dir(sys.modules.get(found[1])) if not name.startswith("_")]
        return place.key, f"there is no {found[1]}.{found[2]}{_instead(found[2], known)}"
    for shape, better in SAID_BETTER.items():
        if found := re.match(shape, leaf, re.S):
            return place.key, better.format(*found.groups())
    return place.key or "command line", f"{place.class_path}: {leaf}" if place.class_path else leaf


def _unknown(name: str, place: Place, settings: list[str]) -> tuple[str, str]:
    """Explain a setting that doesn't exist: of a class, or of the command."""
    if place.class_path is not None:
        first, dot, _ = name.partition(".")
        if dot and first != "init_args" and difflib.get_close_matches(first, ["init_args"]):
            return f"{place.key}.{first}", "no such setting; did you mean init_args?"
        owner = place.class_path.rpartition(".")[2] or "the class"
        return place.under(
            name
        ), f"{owner} has no such setting{_instead(name, _parameters(place.class_path))}"
    section, *below = name.split(".")
    if section in STUDY:
        return (
            name,
            "of a study, which `vsearch study FILE --config ...` runs: leave its file out here",
        )
    known = [key for key in settings if key.startswith(f"{section}.")] or settings
    return name, f"no such setting{_instead('.'.join([section, *below[:1]]), known)}"


def _instead(name: str, known: list[str]) -> str:
    """Suggest the nearest name, or list the known ones if they are few."""
    if near := difflib.get_close_matches(name, known, 1, cutoff=0.7):
        return f"; did you mean {near[0]}?"
    return f"; there is: {', '.join(known)}" if 0 < len(known) <= 20 else ""


def _parameters(class_path: str) -> list[str]:
    """Return the settings that a class takes, inherited ones included."""
    module, _, name = class_path.rpartition(".")
    part = getattr(sys.modules.get(module), name, None)
    if not isinstance(part, type):
        return []
    found = ArgumentParser(exit_on_error=False).add_class_arguments(part, fail_untyped=False)
    return [
        name for name in found if "." not in name and name not in ("params", "optimizer")
    ]  # these are filled in
