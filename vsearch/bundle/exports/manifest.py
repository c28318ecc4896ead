import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.checked_files import check_file
from vsearch.bundle.generations.manifest import check_model, explained, model_of
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import EXPORTS, FILES, Name, Precision

LINEAGE, SCHEMA = "export.json", 1


@dataclass(frozen=True)
class Export:
    """An exported model whose files and origin have been checked.

    Attributes:
        folder: where it is.
        lineage: what its JSON says: the model it was made of, format, precision, files, proof.
    """

    folder: Path
    lineage: dict[str, Any]

    @property
    def alike(self) -> float:
        """The cosine with PyTorch's embeddings that it was held to."""
        return float(self.lineage["proof"]["bounds"]["lowest_cosine"])


def folder_of(bundle: Path, name: Name, precision: Precision) -> Path:
    """Return where a bundle's export of a format lies; one of float32 can be computed in bfloat16
    too.
    """
    return bundle / EXPORTS / (f"{name}-int8" if precision == "int8" else name)


def read(folder: Path, name: Name, precision: Precision, manifest: dict[str, Any]) -> Export:
    """Read an export, once it is known to be whole and of this bundle's model.

    Raises:
        BundleError: a file is missing or damaged, it is of another format or precision, or of
            another model: says both fingerprints.
    """
    path = folder / LINEAGE
    if not path.is_file():
        raise BundleError(
            f"{folder} is no export: it has no {LINEAGE}. Make one: python -m vsearch export"
        )
    with explained(path, "reading it"):
        lineage = json.loads(path.read_text())
        kept = "int8" if precision == "int8" else "float32"
        found, wanted = (
            [lineage[key] for key in ("schema", "format", "precision")],
            [SCHEMA, name, kept],
        )
        if found != wanted:
            raise BundleError(
                f"{path}: schema, format and precision are {found}; here they must be {wanted}."
            )
        check_model(lineage["model"], model_of(manifest), f"{folder}: the export is")
        for file in FILES[name]:
            check_file(folder, file, lineage)
        return Export(folder, lineage)
