"""write the folder of configs to start from

Writes FOLDER/configs with triplet.yaml, the whole recipe, and the overlays that swap its parts: the
same files as in vsearch's repository. It doesn't change an existing folder.
"""

import argparse
import shutil
from pathlib import Path

from vsearch.cli.shipped_configs import CONFIGS, shipped_configs
from vsearch.data.io.atomic import make_folder
from vsearch.errors import VsearchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="FOLDER",
        help="where to write configs/ (default: here)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder, and print the next commands."""
    if args.folder.is_file():
        raise VsearchError(f"{args.folder} is a file: name a FOLDER to write configs/ to.")
    made = args.folder / CONFIGS
    if made.exists():
        raise VsearchError(f"{made} exists already and was left unchanged. Name another FOLDER.")
    args.folder.mkdir(parents=True, exist_ok=True)
    make_folder(made, lambda folder: _copy(folder))
    if args.folder != Path():
        print(f"cd {args.folder}")
    print("vsearch fit --config configs/triplet.yaml")
    print("vsearch search lightning_logs/version_0/bundle PHOTO")


def _copy(folder: Path) -> None:
    shutil.copytree(shipped_configs(), folder, dirs_exist_ok=True)
