from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np

from vsearch.errors import VsearchError


class IndexUnavailable(VsearchError, OSError):
    """A vector store is unavailable: unreachable, refuses the password, or too slow."""


class Index(ABC):
    """Nearest-neighbour search over unit vectors. Plugin base: one subclass, one file.

    A vector's position is its row: rows are numbered from 0 in the order of adding, and close up
    when some are removed.

    Attributes:
        spec: the index in its library's words, for reports and manifests.
    """

    spec: str

    @property
    def exact(self) -> bool:
        """Whether the index finds the exact hits by construction."""
        return False

    def check(self, n: int, dim: int) -> None:  # noqa: B027  (most kinds take any)
        """Refuse n vectors of `dim` dimensions, before training, if `build` would.

        Raises:
            ValueError: says what doesn't fit, and what would.
        """

    def bind(self, fingerprint: str) -> None:  # noqa: B027  (a bundle binds its own files)
        """Set the vectors' model, before building and after opening.

        Raises:
            ValueError: the index holds vectors of another model; the message has both fingerprints.
        """

    @abstractmethod
    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors, replacing earlier ones."""

    @abstractmethod
    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors without training again."""

    @abstractmethod
    def remove(self, positions: np.ndarray) -> None:
        """Remove the vectors at int (m,) positions; the others close up in order."""

    @abstractmethod
    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search with unit vectors (q, dim).

        Returns scores (cosines, float32 (q, k), best first) and positions (int64 (q, k)).
        `allowed`, bool (n,), says which positions may be found; None: all. `k` is lowered to their
        number. Without `allowed`, the last places may be unfilled: position -1 and score -1; with
        it, every place is filled.
        """

    @abstractmethod
    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions as the index keeps them, float32 (m, dim)."""

    @abstractmethod
    def save(self, folder: Path) -> list[str]:
        """Write files into a folder and return their names; the caller syncs and renames."""

    @classmethod
    @abstractmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote, settings included.

        Raises:
            ValueError: the files aren't an index of this kind.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of vectors."""

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values about it, for people."""
        return {"spec": self.spec, "vectors": len(self)}


def as_unit_vectors(embeddings: np.ndarray) -> np.ndarray:
    """Return vectors as C-contiguous float32 (n, dim), n at least 1.

    Raises:
        ValueError: there are none, or they aren't of unit length.
    """
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    norms = np.einsum("...d,...d->...", vectors, vectors) ** 0.5  # np.linalg.norm copies them
    if vectors.ndim != 2 or len(vectors) == 0 or not np.allclose(norms, 1, atol=1e-3):
        raise ValueError(
            f"an index needs unit vectors; got {vectors.shape} with norms {norms.ravel()[:3]} ..."
        )
    return vectors
