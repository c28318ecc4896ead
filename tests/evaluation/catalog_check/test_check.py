from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import HUES, Catalog, picture

from vsearch.cli.catalog_argument import read_source
from vsearch.data.splits import SplitError
from vsearch.evaluation.catalog_check.check import check
from vsearch.evaluation.catalog_check.findings import KINDS, Finding, Limits, worst_first


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


def found(
    catalog: Catalog,
    limits: Limits = Limits(),  # noqa: B008
    **options: Path,
) -> dict[str, list[list[str]]]:
    """The ids of each finding, by kind."""
    checked = check(read_source(catalog.csv()), limits, **options)
    ids = checked.catalog.items["id"]
    result: dict[str, list[list[str]]] = {}
    for finding in checked.findings:
        result.setdefault(finding.kind, []).append(ids.iloc[[*finding.rows]].tolist())
    return result


def test_nothing_is_wrong(catalog):
    assert found(catalog) == {}
    assert (
        found(catalog, bundle=catalog.bundle(), split=catalog.split(red_0="val", red_1="test"))
        == {}
    )


def test_each_thing_that_is_planted_is_found_and_nothing_else(catalog):
    whole = (catalog.folder / "0.png").read_bytes()
    catalog.add("cut", "red", whole[: len(whole) // 2])
    catalog.add("text", "red", b"no photo")
    catalog.add("gone", "red", None)
    catalog.add("white", "red", Image.new("RGB", (96, 96), (255, 255, 255)))
    catalog.add("small", "red", picture(900, HUES["red"], (20, 40)))
    catalog.add("long", "red", picture(901, HUES["red"], (400, 60)))
    catalog.add("twin", "green", picture(902, HUES["green"]))
    catalog.add("twin", "green", picture(903, HUES["green"]))
    for number in range(3):
        catalog.add(f"rare-{number}", "rare", picture(910 + number, (150, 150, 60)))
    catalog.copy("red-3", "red-copy")
    catalog.copy("red-4", "red-conflict", "blue")
    catalog.copy("green-3", "green-near", quality=85)
    catalog.copy("green-4", "green-near-conflict", "blue", quality=85)
    assert found(catalog) == {
        "missing": [["gone"]],
        "broken": [["cut"], ["text"]],
        "repeated-id": [["twin", "twin"]],
        "tiny": [["small"]],
        "blank": [["white"]],
        "odd-aspect": [["long"]],
        "few": [["rare-0", "rare-1", "rare-2"]],
        "conflict": [["red-4", "red-conflict"]],
        "near-conflict": [["green-4", "green-near-conflict"]],
        "copies": [["red-3", "red-copy"]],
        "near-copies": [["green-3", "green-near"]],
    }


def test_what_leaks_between_the_parts_is_found(catalog):
    catalog.copy("red-3", "red-copy")
    catalog.copy("red-5", "red-same-part")
    catalog.copy("green-3", "green-near", quality=85)
    catalog.add("bad", "red", b"no photo")
    split = catalog.split(red_3="test", green_near="val", blue_1="test")
    split.write_text(
        "\n".join(line for line in split.read_text().splitlines() if not line.startswith("bad"))
    )
    result = found(catalog, split=split)
    assert result["leak"] == [["red-3", "red-copy"]]
    assert result["near-leak"] == [["green-3", "green-near"]]
    assert set(result) == {"broken", "leak", "near-leak", "copies", "near-copies"}


def test_a_column_split_is_looked_at_too(catalog):
    catalog.copy("red-3", "red-copy")
    for row in catalog.rows:
        row["split"] = "test" if row["id"] == "red-copy" else "train"
    assert found(catalog)["leak"] == [["red-3", "red-copy"]]


def test_a_split_of_other_items_is_refused(catalog):
    split = catalog.split()
    catalog.add("new", "red", picture(900, HUES["red"]))
    with pytest.raises(SplitError, match="new"):
        found(catalog, split=split)


def test_with_a_bundle_mislabels_outliers_and_embeddings_of_near_copies_are_found(catalog):
    for number in range(8):  # more of each label: its distances must be a distribution
        for place, (label, hue) in enumerate(HUES.items()):
            catalog.add(f"{label}-more-{number}", label, picture(2000 + 100 * place + number, hue))
    catalog.add("wrong", "red", picture(950, HUES["green"]))
    catalog.add("strange", "blue", picture(951, (50, 50, 50)))
    pixels = np.asarray(picture(952, HUES["blue"])).clip(20, 235)
    catalog.add("plain", "blue", Image.fromarray(pixels))
    pixels[:12, :12] += 10  # more than a photo's hash search forgives, too little for a network
    pixels[:12, 12:24] -= 10
    catalog.add("touched-up", "blue", Image.fromarray(pixels))
    assert found(catalog) == {}
    limits = Limits(
        outlier=8
    )  # of 22 photos with three numbers each, the outermost are far from half of them
    result = found(catalog, limits, bundle=catalog.bundle())
    assert result == {
        "mislabel": [["wrong"]],
        "outlier": [["strange"]],
        "near-copies": [["plain", "touched-up"]],
    }


def test_blank_photos_are_no_near_copies(catalog):
    for number, grey in enumerate((250, 252, 255)):
        catalog.add(f"white-{number}", "red", Image.new("RGB", (96, 96), (grey, grey, grey)))
    assert set(found(catalog, bundle=catalog.bundle())) == {"blank"}


@pytest.mark.parametrize("photos", [1, 2, 15])
def test_few_photos_and_a_single_label(tmp_path, photos):
    catalog = Catalog(tmp_path / "catalog", per_label=0)
    for number in range(photos):
        catalog.add(f"{number}", "red", picture(number, HUES["red"]))
    result = found(catalog, bundle=catalog.bundle(slice(1)))
    assert result == ({} if photos == 15 else {"few": [[f"{number}" for number in range(photos)]]})


def test_all_photos_are_broken(tmp_path):
    catalog = Catalog(tmp_path / "catalog", per_label=0)
    made = Catalog(tmp_path / "other").bundle()
    for number in range(12):
        catalog.add(f"{number}", "red", b"no photo")
    result = found(catalog, bundle=made, split=catalog.split())
    assert {kind: len(ids) for kind, ids in result.items()} == {"broken": 12, "few": 1}


def test_the_worst_come_first():
    low = [Finding("tiny", (row,), value, "") for row, value in enumerate((9, 3, 5))]
    high = [Finding("odd-aspect", (row,), value, "") for row, value in enumerate((4.5, 8, 6))]
    assert [(one.kind, one.value) for one in worst_first([*high, *low])] == [
        *(("tiny", 3), ("tiny", 5), ("tiny", 9)),
        *(("odd-aspect", 8), ("odd-aspect", 6), ("odd-aspect", 4.5)),
    ]
    assert [*KINDS].index("tiny") < [*KINDS].index("odd-aspect")
