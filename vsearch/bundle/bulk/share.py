import argparse
import re
from dataclasses import dataclass

SHARE = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Share:
    """The parts or shards that one process makes: the numbers equal to `own` modulo `of`."""

    own: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Read `0/4` .. `3/4`."""
        found = SHARE.fullmatch(text)
        if not found or not int(found[1]) < int(found[2]):
            raise argparse.ArgumentTypeError(
                f"{text!r} isn't a share: with four processes they are 0/4, 1/4, 2/4 and 3/4"
            )
        return cls(int(found[1]), int(found[2]))

    def of_all(self, numbers: list[int]) -> list[int]:
        """Return the numbers in this share."""
        return [number for number in numbers if number % self.of == self.own]
