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
SCHEMA = 2  # 2: with the positions of networks whose scores split
PRECISION = "float32"  # of what is exported; OpenVINO computes it in bfloat16 too


@dataclass(frozen=True)
class Export:
    """An exported model whose files and origin have been checked; `lineage`: what its JSON says."""

    folder: Path
    lineage: dict[str, Any]


def folder_of(bundle: Path, name: Name) -> Path:
    """Return where a bundle's export of a format lies."""
    return bundle / EXPORTS / name


def read(
    folder: Path, name: Name, manifest: dict[str, Any], digest: Callable[[Path], str] = sha256
) -> Export:
    """Read an export, once it is known to be whole and of this bundle's model."""
    path = folder / LINEAGE
    if not path.is_file():
        raise BundleError(
            f"{folder} is no export: it has no {LINEAGE}. Make one: python -m vsearch export"
        )
    with explained(path, "reading it"):
        lineage = json.loads(path.read_text())
        found = [lineage[key] for key in ("schema", "format", "precision")]
        wanted = [SCHEMA, name, PRECISION]
        if found != wanted:
            raise BundleError(
                f"{path}: schema, format and precision are {found}; here they must be {wanted}. "
                "Delete the folder and export anew: python -m vsearch export"
            )
        check_model(lineage["model"], model_of(manifest), f"{folder}: the export is")
        for file in {*FILES[name], *lineage["sha256"]}:
            check_file(folder, file, lineage, digest)
        return Export(folder, lineage)
