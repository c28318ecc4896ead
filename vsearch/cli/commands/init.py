"""write the folder of configs to start from

Writes FOLDER/configs with triplet.yaml, the whole recipe, and the overlays that swap its parts: the
same files as in vsearch's repository. A folder that is there already is left as it is.
"""

import argparse
import shutil
from pathlib import Path

import vsearch
from vsearch.data.io.atomic import make_folder
from vsearch.errors import VsearchError

CONFIGS = "configs"


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
    """Write the folder, and print how to go on."""
    made = args.folder / CONFIGS
    if made.exists():
        raise VsearchError(f"{made} is there already, and is left as it is. Name another FOLDER.")
    args.folder.mkdir(parents=True, exist_ok=True)
    make_folder(made, lambda folder: _copy(folder))
    if args.folder != Path():
        print(f"cd {args.folder}")
    print("vsearch fit --config configs/triplet.yaml")
    print("vsearch search lightning_logs/version_0/bundle PHOTO")


def _copy(folder: Path) -> None:
    shutil.copytree(_shipped(), folder, dirs_exist_ok=True)


def _shipped() -> Path:
    """Return the configs that came with vsearch: in its wheel, or beside it in a clone."""
    package = Path(vsearch.__file__).parent
    in_wheel = package / CONFIGS
    return in_wheel if in_wheel.is_dir() else package.with_name(CONFIGS)
