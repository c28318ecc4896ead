"""What disks, copies and hands do to files: a bit turned over, the end cut off, all gone."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Flip:
    """One bit of one byte is turned over."""

    place: int
    bit: int = 0

    def of(self, data: bytes) -> bytes:
        other = data[self.place] ^ (1 << self.bit)
        return data[: self.place] + bytes([other]) + data[self.place + 1 :]

    def __str__(self) -> str:
        return f"flip bit {self.bit} of byte {self.place}"


@dataclass(frozen=True)
class Cut:
    """Only so many bytes are left."""

    length: int = 0

    def of(self, data: bytes) -> bytes:
        return data[: self.length]

    def __str__(self) -> str:
        return f"cut to {self.length} bytes"


Damage = Flip | Cut


def drawn(length: int, rng: np.random.Generator) -> Damage:
    """A damage to a file of that length: a bit, or, one time in four, a cut."""
    place = int(rng.integers(length))
    if rng.random() < 0.25:
        return Cut(place)
    return Flip(place, int(rng.integers(8)))


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    return drawn(len(data), rng).of(data)


def middle(data: bytes) -> bytes:
    """One bit in the middle turned over."""
    return Flip(len(data) // 2).of(data)
