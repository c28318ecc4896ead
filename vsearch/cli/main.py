import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import vsearch.cli.commands

TRAINER_COMMANDS = {
    "fit": "train on a catalog, keep the best epoch, build and measure its index",
    "validate": "score a checkpoint on the val part",
    "test": "score a checkpoint: test photos search the gallery",
    "predict": "embed the whole catalog into a Parquet file",
}


def main(args: Sequence[str] | None = None) -> None:
    """Run one vsearch command; `args` default to the command line's. Quiet when nobody reads on (`|
    head -1`).
    """
    try:
        _run(args)
    except BrokenPipeError:
        if _written("\n"):
            raise  # another pipe than the output
        sys.exit(1)
    finally:
        _written("")


def _written(text: str) -> bool:
    """Write and flush; if nobody reads the output any more, let it go nowhere from now on and
    return False.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python tells of it when it ends
        return False
    return True


def _run(args: Sequence[str] | None) -> None:
    words = sys.argv[1:] if args is None else list(args)
    if words and words[0] in TRAINER_COMMANDS:
        from vsearch.cli.trainer import (
            run,  # Lightning takes seconds to import: only for commands that train
        )

        run(args)
        return
    parser, commands = _parser()
    parsed, rest = parser.parse_known_args(words)
    if (
        rest and "overrides" not in parsed
    ):  # of the trainer's settings: only a command that hands them on has it
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    parsed.overrides = rest
    commands[parsed.command].run(parsed)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    parser = argparse.ArgumentParser(prog="vsearch", description=vsearch.__doc__)
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in TRAINER_COMMANDS.items():
        verbs.add_parser(name, help=line, add_help=False)
    commands = {}
    for entry in iter_modules(vsearch.cli.commands.__path__):
        commands[entry.name] = import_module(f"vsearch.cli.commands.{entry.name}")
        text = commands[entry.name].__doc__ or ""
        commands[entry.name].add_arguments(
            verbs.add_parser(entry.name, help=text.splitlines()[0], description=text)
        )
    return parser, commands
