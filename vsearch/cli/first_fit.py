from collections.abc import Sequence
from pathlib import Path

from vsearch.cli.shipped_configs import CONFIGS, shipped_configs
from vsearch.errors import VsearchError

QUICK = "--quick"
TABLES = (".csv", ".parquet")


def expanded(words: Sequence[str]) -> list[str]:
    """Return `fit CATALOG [--quick] ...` with the configs that it stands for; other words as is.

    CATALOG is a folder with a folder of photos for each label, or a table. The configs are those of
    the working folder's configs/, where there is one, else those that came with vsearch.

    Raises:
        VsearchError: CATALOG is neither, or `--quick` stands without one.
    """
    command, *rest = words
    quick = QUICK in rest
    if quick:
        rest.remove(QUICK)
    if command != "fit" or not rest or rest[0].startswith("-"):
        if quick:
            raise VsearchError(f"{QUICK} takes a catalog: vsearch fit photos {QUICK}")
        return list(words)

    catalog, *settings = rest
    here = Path(CONFIGS)
    configs = here if (here / "triplet.yaml").is_file() else shipped_configs()
    names = ["triplet", "finetune", "recommended", *_catalog_overlay(Path(catalog))]
    if quick:
        names.append("extras/quick")
    found = [command]
    for name in names:
        found += ["--config", str(configs / f"{name}.yaml")]
    option = "root" if Path(catalog).is_dir() else "table"
    return [*found, f"--data.catalog.init_args.{option}", catalog, *settings]


def _catalog_overlay(catalog: Path) -> list[str]:
    if catalog.is_dir():
        return ["data/folder"]
    if catalog.suffix in TABLES:
        return ["data/table"]
    raise VsearchError(
        f"{catalog} is no catalog: name a folder with a folder of photos for each label, or a CSV "
        "or Parquet table. Settings are given as --config FILE and --name value."
    )
