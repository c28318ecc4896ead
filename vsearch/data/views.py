from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from vsearch.errors import VsearchError

TRIES = 8  # to detect randomness: a flip with p = 0.5 goes unnoticed once in 128 times
TINY = 1e-30  # avoids division by zero for opposite embeddings


class View(ABC):
    """A variant of a photo whose embedding counts as much as that of the photo itself.

    It uses only NumPy, so it works with every runtime. A subclass keeps its constructor's arguments
    as attributes.
    """

    @abstractmethod
    def __call__(self, squares: np.ndarray) -> np.ndarray:
        """Return a view of each square, uint8 (B, 3, S, S), in the same shape; never at random."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)


class Flip(View):
    """The mirror image: left and right are swapped."""

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        """Return the squares, uint8 (B, 3, S, S), mirrored."""
        return squares[..., ::-1]


def embed_views(
    embed: Callable[[np.ndarray], np.ndarray], squares: np.ndarray, views: Sequence[View]
) -> np.ndarray:
    """Return the mean embedding of the squares and of each of their views.

    Args:
        embed: squares, uint8 (B, 3, S, S), to unit vectors, float32 (B, dim).

    Returns:
        Unit vectors, float32 (B, dim).
    """
    vectors = embed(squares)
    if not views:
        return vectors
    total = vectors.copy()
    for view in views:
        total += embed(np.ascontiguousarray(view(squares)))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), TINY)


def check_views(views: Sequence[View], size: int) -> None:
    """Try views on noise of `size` pixels a side.

    Raises:
        VsearchError: a view is random, or doesn't return squares; the message names it.
    """
    squares = np.random.default_rng(0).integers(0, 256, (2, 3, size, size), dtype=np.uint8)
    for view in views:
        made = [view(squares.copy()) for _ in range(TRIES)]
        name = type(view).__name__
        if any(one.shape != squares.shape or one.dtype != np.uint8 for one in made):
            raise VsearchError(
                f"{name} makes {made[0].dtype} {made[0].shape} of {squares.dtype} {squares.shape}: "
                "a view must return squares of the shape and type that it gets."
            )
        if any(not np.array_equal(one, made[0]) for one in made):
            raise VsearchError(
                f"{name} gives a different result each time, but an index and its queries need the "
                "same views. Use one that isn't random; random ones belong in `data.augment`."
            )
