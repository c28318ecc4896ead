from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vsearch.evaluation.scoring import Embedded


@dataclass(frozen=True)
class RunEmbeddings:
    """What `python -m vsearch predict` wrote, with each photo's part of the run's split.

    Attributes:
        items: `id`, `label`, `split`.
        embedded: the same photos.
    """

    items: pd.DataFrame
    embedded: Embedded

    def rows(self, part: str) -> np.ndarray:
        """Return the rows (m,) of a part."""
        return np.flatnonzero(self.items["split"] == part)

    def part(self, part: str) -> Embedded:
        """Return the photos of a part."""
        return self.embedded.take(self.rows(part))


def read(embeddings: Path, split: Path) -> RunEmbeddings:
    """Read EMBEDDINGS.parquet and the run's split.csv."""
    items = pd.read_parquet(embeddings).astype({"id": str})
    vectors = np.stack(items.pop("embedding").to_list())
    known = pd.read_csv(split, dtype=str).set_index("id")["split"]
    items["split"] = items["id"].map(known)
    labels = pd.factorize(items["label"])[0]
    return RunEmbeddings(items, Embedded(vectors, labels, np.arange(len(items))))
