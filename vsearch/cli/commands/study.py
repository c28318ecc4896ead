"""fit a small grid of overlays, with several seeds, and rank it

A study is a YAML file that names cells: lists of overlays. Each cell with each seed is a normal
run. Finished runs are kept and ranked, so a stopped study continues where it was. All other
arguments are those of `fit`, for every cell: `--trainer.max_epochs 3`.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

from vsearch.cli.arguments import names
from vsearch.errors import Failed, VsearchError

if TYPE_CHECKING:
    from rich.console import Console

    from vsearch.evaluation.studies.jobs import Job
    from vsearch.evaluation.studies.study import Study

TAIL = 15  # lines of a failed run's log that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.allow_abbrev = False
    parser.set_defaults(overrides=[])  # arguments that `vsearch.cli.main` doesn't know
    parser.add_argument("name", help="a study's file, or the name of one in configs/studies: loss")
    parser.add_argument(
        "--config",
        action="append",
        required=True,
        help="for all cells; may be repeated, as for fit",
    )
    parser.add_argument("--seeds", type=_seeds, help="run these instead of the study's: 0,1,2")
    parser.add_argument(
        "--cells", type=names, help="run only these, and the baseline: arcface,cosface"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("studies"),
        help="where to write results (default: studies)",
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="when a run fails, continue with the others"
    )


def run(args: argparse.Namespace) -> None:
    """Run what isn't done yet, and rank."""
    from vsearch.evaluation.studies.study import read_study

    # so that the child process ends too
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        study = read_study(args.name)
        asked = study.narrowed(args.cells, args.seeds)
        jobs = _jobs(study, asked, args)
        wanted = [job for job in jobs if job.cell in asked.cells and job.seed in asked.seeds]
        study = replace(study, seeds=tuple(sorted({job.seed for job in jobs})))
        failed = _run(study, jobs, wanted, args.out / study.name, args.keep_going)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("Run the same command again to continue.") from stop
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed:
        logs = ", ".join(str(job.log) for job in failed)
        raise Failed(f"{len(failed)} runs failed; see {logs}")


def _jobs(study: "Study", asked: "Study", args: argparse.Namespace) -> "list[Job]":
    """Return the requested jobs, all cells' first seed first, then the finished ones."""
    from vsearch.evaluation.studies.fit_settings import unused_loggers
    from vsearch.evaluation.studies.jobs import done, plan

    folder = args.out / study.name
    pairs = [(cell, seed) for seed in asked.seeds for cell in asked.cells]
    pairs = list(dict.fromkeys([*pairs, *done(study, folder)]))
    words = {}
    settings = {}
    unused: set[str] = set()
    for cell, _ in pairs:
        if cell not in words:
            words[cell], settings[cell] = fit_of(study, cell, args.config, args.overrides)
            unused |= unused_loggers(settings[cell])
    if unused:
        loggers = ", ".join(sorted(unused))
        print(f"Left out, since a study's runs use only TensorBoard's logger: {loggers}")
    jobs = plan(study, pairs, words, settings, folder)
    for job in jobs:
        job.check()
    return jobs


def fit_of(
    study: "Study", cell: str, configs: Sequence[str], overrides: Sequence[str]
) -> tuple[list[str], dict[str, Any]]:
    """Return a cell's arguments for `fit`, with the study's monitor, and their settings."""
    from vsearch.evaluation.studies.fit_settings import watching

    words = study.words(cell, configs, overrides)
    settings = composed(cell, words)
    if study.monitor and (callbacks := watching(settings["trainer"]["callbacks"], study.monitor)):
        settings["trainer"]["callbacks"] = callbacks
        words += ["--config", json.dumps({"trainer": {"callbacks": callbacks}})]
    return words, settings


def composed(cell: str, words: list[str]) -> dict[str, Any]:
    """Return the settings, nested, that a fit's own parser reads from its arguments.

    Raises:
        StudyError: the parser refuses them.
    """
    import yaml

    from vsearch.cli.trainer import run
    from vsearch.evaluation.studies.study import StudyError

    printed = StringIO()
    try:
        with redirect_stdout(printed), catch_warnings():
            # deliberately not the command line's
            filterwarnings("ignore", "LightningCLI's args parameter")
            run(["fit", *words, "--print_config"])
    except VsearchError as error:
        raise StudyError(
            f"the settings of cell {cell!r} are refused: {error}. Nothing was run."
        ) from error
    except SystemExit as ended:
        if ended.code:
            raise
    settings: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return settings


def _run(
    study: "Study", jobs: "list[Job]", wanted: "list[Job]", folder: Path, keep_going: bool
) -> "list[Job]":
    """Run wanted, unfinished jobs; write all results after each; return the failed jobs."""
    from rich import progress
    from rich.console import Console

    from vsearch.evaluation.studies.processes import alone
    from vsearch.reports.study import show

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    console = Console(markup=False, highlight=False)
    failed: list[Job] = []
    with alone(folder) as lock, progress.Progress(*columns, console=console) as bar:
        todo = [job for job in wanted if not job.finished()]
        task = bar.add_task(study.name, total=len(wanted), completed=len(wanted) - len(todo))
        for job in todo:
            bar.update(task, description=f"{job.cell}, seed {job.seed}")
            if not _fitted(job, lock, bar.console):
                if not keep_going:
                    _stop(job)
                failed.append(job)
            _write(study, jobs, failed, folder)
            bar.advance(task)
    show(_write(study, jobs, failed, folder))
    print(f"Results: {folder / 'study.md'}")
    return failed


def _fitted(job: "Job", lock: IO[bytes], console: "Console") -> bool:
    from vsearch.evaluation.studies.processes import fit

    start = time.monotonic()
    resumed = job.checkpoint() is not None
    status = fit(job, lock)
    done = status == 0 and job.finished() is not None
    how = ("resumed, " if resumed else "") + ("done" if done else f"FAILED (status {status})")
    console.print(f"{job.cell}, seed {job.seed}: {how} in {time.monotonic() - start:.0f} s")
    return done


def _stop(job: "Job") -> None:
    """Raise the end of a failed run's log."""
    text = job.log.read_text(errors="replace").replace("\r", "\n")
    lines = [line for line in text.splitlines() if line.strip()]
    shown = "".join(f"  {line}\n" for line in lines[-TAIL:])
    raise Failed(
        f"{job.cell}, seed {job.seed} failed. The end of {job.log}:\n{shown}"
        "Run the same command again to continue; --keep-going runs the others first."
    )


def _write(study: "Study", jobs: "list[Job]", failed: "list[Job]", folder: Path) -> dict[str, Any]:
    from vsearch.data.io.atomic import replace_file
    from vsearch.evaluation.comparing.runs import Run, open_runs
    from vsearch.evaluation.studies.ranking import rank
    from vsearch.reports.study import study_files

    runs: dict[str, dict[int, Run]] = {}
    for job in jobs:
        if place := job.finished():
            runs.setdefault(job.cell, {})[job.seed] = open_runs([place])[0]
    seeds = {cell: [job.seed for job in failed if job.cell == cell] for cell in study.cells}
    result = rank(study, runs, seeds)
    for name, data in study_files(result).items():
        replace_file(folder / name, data)
    return result


def _seeds(text: str) -> list[int]:
    words = names(text)
    if not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of seeds, whole numbers with commas: 0,1,2"
        )
    return [int(word) for word in words]
