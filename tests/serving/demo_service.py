from pathlib import Path

from small_service import served_bundle

from vsearch.serving.api import manual_examples as examples

N = 12


def write_demo_bundle(folder: Path) -> Path:
    """A small bundle with the demo's columns and the ids that the manual and the docs name."""
    columns = {
        "id": [
            examples.ID,
            examples.OTHER,
            examples.UNLIKE,
            *(f"demo-0000{i}" for i in range(N - 3)),
        ],
        "label": ["backpack"] * N,
        "category": ["accessories"] * N,
        "colour": ["orange", "pink", "red", "blue"] * (N // 4),
        "pattern": ["checks", "dots", "plain", "stripes"] * (N // 4),
        "gender": ["women", "unisex", "men"] * (N // 3),
    }
    return served_bundle(folder, N, columns=columns)
