from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits beyond which something is a finding. The defaults fit photos of products.

    Attributes:
        min_side: pixels of a photo's shorter side; fewer are tiny.
        max_aspect: longer side / shorter side; more is odd.
        min_spread: standard deviation, 0..127.5, of a photo's most varied channel; less is blank.
        max_plain: share of a photo, 0..1, in its most common colour; more is blank.
        min_images: photos of a label; fewer are few.
        near: most bits of 256 in which the perceptual hashes of near copies may differ.
        difference: largest difference, 0..255, of two near copies' colours, each averaged over a
            64th of the photo.
        score: cosine from which two photos may be near copies, if there are embeddings.
        score_difference: like `difference`, for those.
        neighbours: how many nearest photos must agree on another label; an outlier is far from this
            many.
        outlier: robust standard deviations by which an outlier is farther than its label's median.
    """

    min_side: int = 32
    max_aspect: float = 4.0
    min_spread: float = 1.5
    max_plain: float = 0.999
    min_images: int = 10
    near: int = 16
    difference: float = 8.0
    score: float = 0.98
    score_difference: float = 12.0
    neighbours: int = 10
    outlier: float = 3.5


@dataclass(frozen=True)
class Finding:
    """One problem in a catalog.

    Attributes:
        kind: a name in KINDS.
        rows: rows of the affected items; the first is the example.
        value: the measured value, in the kind's unit; None if nothing is measured.
        text: the same in words.
        others: rows of items that explain it: a likely mislabel's neighbours.
    """

    kind: str
    rows: tuple[int, ...]
    value: float | None
    text: str
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its description, the advice, and whether a lower value is worse."""

    meaning: str
    advice: str
    low_is_worse: bool = False


KINDS = {
    "missing": Kind("no photo file", "Correct the path, or drop the row."),
    "broken": Kind("photos that can't be read", "Replace them with intact copies, or drop them."),
    "repeated-id": Kind("items that share an id", "Give every item a unique id."),
    "tiny": Kind(
        "photos with too few pixels", "Find larger ones: a network sees little in them.", True
    ),
    "blank": Kind("photos of a single colour", "Replace or drop them: they teach nothing.", True),
    "odd-aspect": Kind(
        "very long or very high photos", "Crop them to the product: most of the square is empty."
    ),
    "few": Kind(
        "labels with too few photos", "Add photos, merge labels, or set min_images_per_label.", True
    ),
    "conflict": Kind(
        "identical photos with different labels",
        "Choose one label: a network can't tell them apart.",
    ),
    "near-conflict": Kind(
        "near copies with different labels",
        "Look at them: one label is wrong, or labels overlap.",
        True,
    ),
    "leak": Kind(
        "identical photos in several parts of the split",
        "Let vsearch.data.splits.StratifiedSplit draw the parts.",
    ),
    "near-leak": Kind(
        "near copies in several parts of the split",
        "Name a column that ties them as the split's group.",
        True,
    ),
    "mislabel": Kind(
        "photos whose neighbours all have another label",
        "Look at them: correct the labels that are wrong.",
    ),
    "outlier": Kind(
        "photos unlike all others", "Look at them: drop those that show something else."
    ),
    "copies": Kind(
        "identical photos of one label",
        "A drawn split keeps them in one part; drop them if they are useless.",
    ),
    "near-copies": Kind(
        "near copies of one label", "Drop them, or tie them with the split's group.", True
    ),
}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of KINDS, the worst of each kind first."""
    names = [*KINDS]

    def place(finding: Finding) -> tuple[int, float, tuple[int, ...]]:
        value = finding.value or 0.0
        badness = value if KINDS[finding.kind].low_is_worse else -value
        return names.index(finding.kind), badness, finding.rows

    return sorted(findings, key=place)
