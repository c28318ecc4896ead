"""The command `vsearch`. Exit status: 0, 1 if a check failed, 2 if the input can't be used."""

import argparse
import difflib
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import vsearch.cli.commands
from vsearch.cli.arguments import trust_named
from vsearch.cli.first_fit import QUICK, expanded
from vsearch.errors import Failed, VsearchError
from vsearch.plain_text import on_terminal

TRAINER_COMMANDS = {
    "fit": "train on a catalog, keep the best epoch, build and measure its index: `fit PHOTOS`, "
    "`fit PHOTOS --quick` for a first try, or `fit --config YAML ...`",
    "validate": "score a checkpoint on the val part",
    "test": "score a checkpoint: search the gallery with the test photos",
    "predict": "embed the whole catalog into a Parquet file",
}
FAILED = 1
UNUSABLE = 2  # as argparse ends
STOPPED = 130  # as shells report a program that Ctrl-C ended


def main(args: Sequence[str] | None = None) -> None:
    """Run one vsearch command; `args` default to the command line's.

    Errors that a user can fix are one line, without a traceback. It ends quietly when nobody reads
    its output any more (`| head -1`).
    """
    try:
        _run(args)
    except BrokenPipeError:
        if _written("\n"):
            raise  # another pipe than the output
        sys.exit(FAILED)
    except Failed as error:
        _end(args, str(error), FAILED)
    except VsearchError as error:
        _end(args, str(error), UNUSABLE)
    except ModuleNotFoundError as error:
        if _words(args)[0] in TRAINER_COMMANDS or str(error.name).startswith("vsearch"):
            raise
        needed = "`uv sync` installs everything; an installation for serving has fewer packages"
        _end(args, f"the package {error.name} is not installed: {needed}", UNUSABLE)
    except OSError as error:
        if _words(args)[0] in TRAINER_COMMANDS:
            raise  # training takes hours: the traceback shows where it stopped
        _end(args, str(error), UNUSABLE)
    except KeyboardInterrupt as stop:
        _end(args, f"stopped. {stop}".rstrip(), STOPPED)
    finally:
        _written("")


def _end(args: Sequence[str] | None, message: str, status: int) -> None:
    print(on_terminal(f"vsearch {_words(args)[0]}: {message}"), file=sys.stderr)
    sys.exit(status)


def _written(text: str) -> bool:
    """Write and flush; if nobody reads the output any more, discard it and return False."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # else Python complains when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _run(args: Sequence[str] | None) -> None:
    words = _words(args)
    if words and words[0] in TRAINER_COMMANDS:
        # Lightning takes seconds to import
        from vsearch.cli.trainer import run

        whole = expanded(words)
        if args is None:
            sys.argv[1:] = whole  # Lightning starts further processes with it
        run(None if args is None else whole)
        if QUICK in words:
            print(f"{QUICK}: this shows that everything works; its figures measure nothing.")
        return
    parser, commands = _parser()
    names = [*TRAINER_COMMANDS, *commands]
    if words and words[0] not in names and not words[0].startswith("-"):
        parser.error(f"there is no command {words[0]!r}{_nearest(words[0], names)}")
    parsed, rest = parser.parse_known_args(words)
    parsed.overrides = rest
    trust_named(parsed)
    commands[parsed.command].run(parsed)


def _nearest(word: str, names: Iterable[str]) -> str:
    """Return "Did you mean ...?" with the closest name; empty if none is close to the word."""
    alike = difflib.get_close_matches(word, list(names), 1)
    return f". Did you mean {alike[0]}?" if alike else ""


class _Paragraphs(argparse.HelpFormatter):
    """Fills each paragraph of a description by itself, and leaves those with indented lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for paragraph in text.strip().split("\n\n"):
            is_table = "\n  " in paragraph
            filled.append(paragraph if is_table else textwrap.fill(paragraph, width))
        return textwrap.indent("\n\n".join(filled), indent)


class _Parser(argparse.ArgumentParser):
    """A parser, of the program or a command, that suggests the closest option."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Paragraphs, **settings})

    def parse_known_args(self, *given: Any) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        """Return the arguments, and the trainer's settings, which only some commands pass on."""
        parsed, rest = super().parse_known_args(*given)
        if rest and "overrides" not in parsed:
            meant = _nearest(rest[0], re.findall(r"--[\w-]+", self.format_help()))
            self.error(f"unrecognized arguments: {' '.join(rest)}{meant}")
        return parsed, rest


class _ShowVersion(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, *_: object) -> None:
        from importlib.metadata import version

        print(f"vsearch {version('vsearch')}")
        sys.exit(0)


def _words(args: Sequence[str] | None) -> Sequence[str]:
    return sys.argv[1:] if args is None else args


def _parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    parser = _Parser(
        prog="vsearch",
        description=vsearch.__doc__,
        epilog="Exit status: 0; 1 if a check failed (a gate of `compare`, a finding of `data "
        "check --fail-on`, `index verify`, a bound of `index swap`, `index copy` or `export`), if "
        "training diverged or a run of a study failed; 2 if the input can't be used; 130 "
        "after Ctrl-C.",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in TRAINER_COMMANDS.items():
        verbs.add_parser(name, help=line, add_help=False)
    commands = {}
    for entry in iter_modules(vsearch.cli.commands.__path__):
        command = import_module(f"vsearch.cli.commands.{entry.name}")
        text = command.__doc__ or ""
        command.add_arguments(
            verbs.add_parser(entry.name, help=text.splitlines()[0], description=text)
        )
        commands[entry.name] = command
    return parser, commands
