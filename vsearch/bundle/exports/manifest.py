import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.manifest import check_model, explained, model_of
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import EXPORTS, FILES, Name

LINEAGE = "export.json"
SCHEMA = 2  # 2: with positions, if the network's scores split
PRECISION = "float32"  # of exported weights; OpenVINO can also compute in bfloat16


@dataclass(frozen=True)
class Export:
    """An exported model whose files and origin have been checked; `lineage`: its JSON."""

    folder: Path
    lineage: dict[str, Any]


def folder_of(bundle: Path, name: Name) -> Path:
    """Return the folder of a bundle's export in a format."""
    return bundle / EXPORTS / name


def read(
    folder: Path, name: Name, manifest: dict[str, Any], digest: Callable[[Path], str] = sha256
) -> Export:
    """Read an export, after checking that it is complete and of this bundle's model."""
    path = folder / LINEAGE
    if not path.is_file():
        raise BundleError(
            f"{folder} isn't an export: it has no {LINEAGE}. Make one: python -m vsearch export"
        )
    with explained(path, "reading it"):
        lineage = json.loads(path.read_text())
        found = [lineage[key] for key in ("schema", "format", "precision")]
        wanted = [SCHEMA, name, PRECISION]
        if found != wanted:
            raise BundleError(
                f"{path}: schema, format and precision are {found}, but must be {wanted}. "
                "Delete the folder and export again: python -m vsearch export"
            )
        check_model(lineage["model"], model_of(manifest), f"{folder}: the export is")
        for file in {*FILES[name], *lineage["sha256"]}:
            check_file(folder, file, lineage, digest)
        return Export(folder, lineage)
