from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsearch.cli.shipped_configs import CONFIGS, shipped_configs
from vsearch.errors import VsearchError

QUICK = "--quick"
HELP = {  # of the parser that reads the expanded words
    "usage": f"vsearch fit [PHOTOS] [{QUICK}] [--config YAML ...] [--SETTING VALUE ...]",
    "description": "PHOTOS is a folder with a folder of photos for each label, or a CSV or Parquet "
    "table: vsearch fits the recommended recipe to it. Without PHOTOS, the configs name the "
    f"catalog. {QUICK} is a first try of about a minute; its figures measure nothing.",
}
TABLES = {".csv", ".tsv", ".zip", ".parquet"}


@dataclass(frozen=True)
class _Kind:
    """A kind of catalog: its overlay, its class, and the setting that holds its path."""

    overlay: str
    class_path: str
    setting: str


FOLDER = _Kind("data/folder", "vsearch.data.catalogs.folder.FolderCatalog", "root")
TABLE = _Kind("data/table", "vsearch.data.catalogs.table.TableCatalog", "table")


def expanded(words: Sequence[str]) -> list[str]:
    """Expand `fit [CATALOG] [--quick] ...` to the configs that it stands for; return others as is.

    CATALOG is a folder with a folder of photos for each label, or a table. The configs come from
    configs/ in the working folder, if it exists, else from vsearch itself.

    Raises:
        VsearchError: CATALOG is neither.
    """
    command, *rest = words
    quick = QUICK in rest
    if quick:
        rest.remove(QUICK)
    here = Path(CONFIGS)
    configs = here if (here / "triplet.yaml").is_file() else shipped_configs()
    if command != "fit" or not rest or rest[0].startswith("-"):
        if not quick:
            return list(words)
        recipe = [] if "--config" in rest else ["--config", str(configs / "triplet.yaml")]
        return [command, *recipe, *rest, "--config", str(configs / "extras" / "quick.yaml")]

    catalog, *settings = rest
    kind = _kind(Path(catalog))
    names = ["triplet", "finetune", "recommended", kind.overlay]
    if quick:
        names.append("extras/quick")
    found = [command]
    for name in names:
        found += ["--config", str(configs / f"{name}.yaml")]
    found += settings
    # last, so that it overrides the catalog of any config among the settings
    found += ["--data.catalog", kind.class_path]
    return [*found, f"--data.catalog.init_args.{kind.setting}", catalog]


def _kind(catalog: Path) -> _Kind:
    if catalog.is_dir():
        return FOLDER
    if TABLES & {*Path(catalog.name.lower()).suffixes}:  # .csv.gz too
        return TABLE
    raise VsearchError(
        f"{catalog} isn't a catalog: name a folder with a folder of photos for each label, or a "
        "CSV or Parquet table. Give settings as --config FILE and --name value."
    )
