from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np

from vsearch.errors import VsearchError


class IndexUnavailable(VsearchError, OSError):
    """A vector store can't be asked now: not reachable, refuses the password, takes too long."""


class Index(ABC):
    """Nearest-neighbour search over unit vectors. Plugin base: one subclass, one file.

    A vector's position is its row: rows are numbered from 0 in the order in which they came, and
    close up when some are removed, as those of a table do.

    Attributes:
        spec: what the index is, in the words of its library, as reports and manifests show it.
    """

    spec: str

    @property
    def exact(self) -> bool:
        """Whether the index finds the exact hits by construction."""
        return False

    def check(self, n: int, dim: int) -> None:  # noqa: B027  (most kinds take any)
        """Refuse, before anything is trained, n vectors of `dim` dimensions that `build` would.

        Raises:
            ValueError: says what doesn't fit, and what would.
        """

    def bind(self, fingerprint: str) -> None:  # noqa: B027  (a bundle binds its own files)
        """Say whose vectors these are, before they are built, and once an index was opened.

        Raises:
            ValueError: the index holds vectors of another model; the message has both fingerprints.
        """

    @abstractmethod
    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors, in the place of what was there."""

    @abstractmethod
    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors; nothing is trained anew."""

    @abstractmethod
    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up in their order."""

    @abstractmethod
    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search with unit vectors (q, dim).

        Returns scores (cosines, float32 (q, k), best first) and positions (int64 (q, k)).
        `allowed`, bool (n,), says which positions may be found; None: all. `k` is lowered to the
        number of vectors that may be found. Without `allowed`, a place that the index can't fill
        has position -1 and score -1; with it, every place is filled.
        """

    @abstractmethod
    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return float32 (m, dim): the vectors at int (m,) positions, as the index keeps them."""

    @abstractmethod
    def save(self, folder: Path) -> list[str]:
        """Write files into a folder and return their names; the caller syncs and renames."""

    @classmethod
    @abstractmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote, settings included.

        Raises:
            ValueError: the files are no index of this kind.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of vectors."""

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values for people: what it is and how it is searched."""
        return {"spec": self.spec, "vectors": len(self)}


def as_unit_vectors(embeddings: np.ndarray) -> np.ndarray:
    """Return vectors as C-contiguous float32 (n, dim), n at least 1.

    Raises:
        ValueError: there are none, or they are not of unit length.
    """
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1)
    if vectors.ndim != 2 or len(vectors) == 0 or not np.allclose(norms, 1, atol=1e-3):
        raise ValueError(
            f"an index needs unit vectors; got {vectors.shape} with norms {norms.ravel()[:3]} ..."
        )
    return vectors
