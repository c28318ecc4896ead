"""Kill, damage, attack and reload: none of it may lose data, give wrong answers, or end the
service.

    python -m benchmarks.battery [--seconds 300 | --tries N] [--only kills,damage,hostile,reloads]
        [--seed N]

It first fits a small bundle. kills: `index add` and `index remove` are killed at random moments;
the bundle must verify, with every acknowledged change. damage: one file of the bundle is damaged;
`search`, `compare` and `report` must refuse it or answer as before. hostile: a service gets hostile
requests and photos; it must never answer 5xx (except 503 with Retry-After), and must answer good
uploads between them. reloads: a service repeatedly opens its changing bundle again, and answers
uploads. Exit status: 1 if there is any fault.
"""

import argparse
import collections
import secrets
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
from rich import progress
from rich.console import Console
from rich.table import Table

from benchmarks.battery import ground as grounds
from benchmarks.battery.ground import Ground, Tried

KINDS = ("reloads", "hostile", "kills", "damage")  # those that may end by themselves come first


@dataclass
class Result:
    """The results of one kind's tries."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, tried: Tried) -> None:
        """Count a try."""
        self.outcomes[tried.outcome] += 1
        if tried.fault:
            self.faults.append(tried.fault)


def main() -> None:
    """Try it all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=float, default=300, help="of all kinds (default: 300)")
    limit.add_argument("--tries", type=int, help="of each kind, however long they take")
    parser.add_argument("--only", type=kinds, default=KINDS, metavar="KIND,...")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    given = parser.parse_args()
    grounds.settle()
    with tempfile.TemporaryDirectory() as name:
        print("Fitting a small bundle ...", flush=True)
        ground = Ground(grounds.fit(Path(name)), Path(name))
        grounds.grow(ground)
        results = try_all(ground, given)
    show(results, given.seed)
    sys.exit(any(result.faults for result in results.values()))


def kinds(text: str) -> list[str]:
    """Read `kills,damage`."""
    names = text.split(",")
    for name in names:
        if name not in KINDS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(KINDS)}")
    return names


def try_all(ground: Ground, given: argparse.Namespace) -> dict[str, Result]:
    """Try each kind for its share of the remaining time, or as often as requested."""
    end = time.monotonic() + given.seconds
    results = {name: Result() for name in given.only}
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[said]}", markup=False),
        progress.TimeElapsedColumn(),
    )
    # the stream of now: commands that are tried have others
    with progress.Progress(*columns, console=Console(file=sys.stderr)) as bar:
        for number, (name, result) in enumerate(results.items()):
            start = time.monotonic()
            share = (end - start) / (len(results) - number)
            total = given.tries or share
            task = bar.add_task(name, total=total, said="")
            tries = import_module(f"benchmarks.battery.{name}").tries
            with closing(tries(ground, np.random.default_rng(given.seed))) as running:
                for tried in running:
                    result.add(tried)
                    past = time.monotonic() - start
                    done = result.outcomes.total() if given.tries else past
                    said = f"{result.outcomes.total():,} tries, {len(result.faults):,} faults"
                    bar.update(task, completed=done, said=said)
                    if done >= total:
                        break
            bar.update(task, completed=total)
    return results


def show(results: dict[str, Result], seed: int) -> None:
    """Print the table, and a line for each fault."""
    table = Table("kind", "tries", "faults", "what came of them")
    for name, result in results.items():
        came = [f"{count:,} x {outcome}" for outcome, count in result.outcomes.most_common()]
        counts = (result.outcomes.total(), len(result.faults))
        table.add_row(name, *(f"{count:,}" for count in counts), ", ".join(came))
    Console(markup=False, highlight=False).print(table)
    for name, result in results.items():
        for fault in result.faults:
            print(f"{name}: {fault}")
    print(f"seed {seed}")


if __name__ == "__main__":
    main()
