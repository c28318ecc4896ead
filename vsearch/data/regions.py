from abc import ABC, abstractmethod
from math import ceil, floor

# A part of a photo: left, top, right and bottom as shares (0..1) of its width and height
Region = tuple[float, float, float, float]


MOST_SIDE = 8  # windows in each direction: 64 more vectors an item, and as many passes


class Regions(ABC):
    """Parts of a photo that get embeddings of their own, beside that of the whole photo.

    They are the same for every photo. A subclass keeps its constructor's arguments as attributes.
    """

    @property
    @abstractmethod
    def boxes(self) -> tuple[Region, ...]:
        """The parts, at least one."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)


class Grid(Regions):
    """Windows in a square grid, as in Patchify (https://arxiv.org/abs/2512.12610).

    Args:
        side: windows in each direction, 2 to 8: `side * side` windows.
        share: a window's width and height as a share (0..1) of the photo's. Null: 1 / side, so that
            windows don't overlap. With more they do, and cut fewer products in two.
    """

    def __init__(self, side: int = 2, share: float | None = None) -> None:
        if not 2 <= side <= MOST_SIDE:
            raise ValueError(f"side: {side} isn't a number of windows from 2 to {MOST_SIDE}.")
        if share is not None and not 1 / side <= share < 1:
            raise ValueError(
                f"share: windows of {share:g} of the photo don't cover it: set it to "
                f"{1 / side:g} or more, and less than 1."
            )
        self.side = side
        self.share = share

    @property
    def boxes(self) -> tuple[Region, ...]:
        """The windows, row by row from the top left."""
        share = 1 / self.side if self.share is None else self.share
        starts = [(1 - share) * place / (self.side - 1) for place in range(self.side)]
        return tuple((left, top, left + share, top + share) for top in starts for left in starts)


def in_words(region: Region) -> str:
    """Return a region in percent: across x down, each from and to."""
    left, top, right, bottom = (f"{100 * side:.0f}" for side in region)
    return f"{left}-{right} % x {top}-{bottom} %"


def pixels(region: Region, width: int, height: int) -> tuple[int, int, int, int]:
    """Return a region of a photo in whole pixels: left, top, right, bottom; at least one pixel."""
    left = min(floor(region[0] * width), width - 1)
    top = min(floor(region[1] * height), height - 1)
    right = max(left + 1, min(width, ceil(region[2] * width)))
    bottom = max(top + 1, min(height, ceil(region[3] * height)))
    return left, top, right, bottom
