import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsearch.data.catalogs import demo
from vsearch.data.catalogs.base import CatalogError
from vsearch.data.catalogs.demo import (
    DemoCatalog,
    background,
    cover,
    draw_item,
    long_tail,
    photograph,
    pose,
)
from vsearch.data.catalogs.demo_shapes import (
    CATEGORIES,
    COLOURS,
    PATTERNS,
    SHAPES,
    SIDE,
    TONES,
    draw_product,
    second_colour,
    silhouette,
    smooth,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    catalog = DemoCatalog(
        str(tmp_path_factory.mktemp("demo") / "catalog"), n_items=64, photo_size=40
    )
    catalog.prepare()
    return catalog


def small(folder: Path, **settings: int) -> DemoCatalog:
    return DemoCatalog(str(folder), **{"n_items": 4, "n_labels": 2, "photo_size": 32, **settings})


# long_tail


def test_long_tail_by_hand() -> None:
    # 63 * (32, 16, 8, 4, 2, 1) / 63; the last is lifted to 2, and the others share what is left
    assert long_tail(63, 6, ratio=32) == [32, 16, 8, 3, 2, 2]
    assert long_tail(12, 3, ratio=1) == [4, 4, 4]


@pytest.mark.parametrize("n_labels", [2, 5, 16])
def test_long_tail_equals_a_plain_loop(n_labels: int) -> None:
    expected: list[int] = []
    left = 1000
    for label in range(n_labels - 1, -1, -1):
        shares = [math.pow(20, -other / (n_labels - 1)) for other in range(label + 1)]
        expected.insert(0, max(2, int(left * shares[label] / math.fsum(shares) + 1e-9)))
        left -= expected[0]
    assert long_tail(1000, n_labels) == expected


@pytest.mark.parametrize(
    ("n_items", "n_labels"), [(4, 2), (32, 16), (33, 16), (64, 16), (2400, 16), (99_999, 7)]
)
def test_long_tail_adds_up_and_never_grows(n_items: int, n_labels: int) -> None:
    sizes = long_tail(n_items, n_labels)
    assert len(sizes) == n_labels
    assert sum(sizes) == n_items
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 2


def test_the_default_catalog_has_a_tail_of_about_twenty_to_one() -> None:
    sizes = long_tail(2400, 16)
    assert 440 <= sizes[0] <= 470
    assert 18 <= sizes[0] / sizes[-1] <= 22


# shapes


def test_smooth_by_hand() -> None:
    once = [(0.25, 0), (0.75, 0), (1, 0.25), (1, 0.75), (0.75, 1), (0.25, 1), (0, 0.75), (0, 0.25)]
    square = smooth(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float), closed=True)
    assert square.shape == (16, 2)
    for i, (x, y) in enumerate(once):
        after = once[(i + 1) % 8]
        assert square[2 * i] == pytest.approx(
            (0.75 * x + 0.25 * after[0], 0.75 * y + 0.25 * after[1])
        )
        assert square[2 * i + 1] == pytest.approx(
            (0.25 * x + 0.75 * after[0], 0.25 * y + 0.75 * after[1])
        )


def test_an_open_line_keeps_its_ends() -> None:
    line = smooth(np.array([(0, 0), (4, 0), (4, 4)], dtype=float), closed=False)
    assert line[0].tolist() == [0, 0]
    assert line[-1].tolist() == [4, 4]
    assert [4, 0] not in line.tolist()


@pytest.mark.parametrize("label", SHAPES)
def test_each_type_has_a_body_with_inner_detail_inside_the_canvas(label: str) -> None:
    tones = silhouette(label)
    assert tones.shape == (SIDE, SIDE)
    assert TONES.index("body") in tones
    assert set(np.unique(tones)) <= set(range(len(TONES)))
    assert len(np.unique(tones)) >= 3
    assert 0.1 < (tones > 0).mean() < 0.8
    edge = np.concatenate([tones[0], tones[-1], tones[:, 0], tones[:, -1]])
    assert not edge.any()


@pytest.mark.parametrize("label", ["t-shirt", "trousers", "dress", "shorts", "skirt", "sunglasses"])
def test_half_and_pair_parts_are_mirrored(label: str) -> None:
    outside = silhouette(label) > 0
    assert (outside != outside[:, ::-1]).mean() < 0.02  # a pixel's width along the edge


def test_types_are_told_apart_by_their_outlines() -> None:
    outlines = {label: silhouette(label) > 0 for label in SHAPES}
    for one, other in ((a, b) for a in SHAPES for b in SHAPES if a < b):
        overlap = (outlines[one] & outlines[other]).sum() / (outlines[one] | outlines[other]).sum()
        assert overlap < 0.9, (one, other)


def test_stripes_equal_a_plain_loop() -> None:
    numbers = rng(3)
    period, slant = numbers.uniform(18, 34), numbers.uniform(0, math.pi)
    shown = second_colour("stripes", rng(3))
    for y in range(0, SIDE, 17):
        for x in range(0, SIDE, 13):
            phase = (x * math.cos(slant) + y * math.sin(slant)) / period % 1
            if (
                min(abs(phase - 0.4), phase, 1 - phase) > 1e-3
            ):  # float32 may fall on either side of an edge
                assert shown[y, x] == (phase < 0.4)


@pytest.mark.parametrize(
    ("pattern", "share"),
    [("plain", 0), ("stripes", 0.4), ("dots", 0.08 * math.pi), ("checks", 0.5)],
)
def test_a_pattern_covers_its_share(pattern: str, share: float) -> None:
    assert second_colour(pattern, rng()).mean() == pytest.approx(share, abs=0.05)


def test_a_product_has_its_colour_and_nothing_around_it() -> None:
    for name, colour in COLOURS.items():
        pixels = np.asarray(draw_product("t-shirt", name, "plain", rng(1))).astype(int)
        body = silhouette("t-shirt") == TONES.index("body")
        assert pixels.shape == (SIDE, SIDE, 4)
        assert (
            np.abs(pixels[body][:, :3].mean(axis=0) - colour).max() < 45
        )  # four standard deviations of the shade
        assert ((pixels[..., 3] == 255) == (silhouette("t-shirt") > 0)).all()
        assert not pixels[silhouette("t-shirt") == 0].any()


# photos


def test_pose_equals_points_mapped_one_by_one() -> None:
    frame = 100
    square = Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 255))
    a, b, c, d, e, f, g, h = coefficients = pose(frame, rng(5))
    size = Image.Transform.PERSPECTIVE
    alpha = np.asarray(
        square.transform((frame, frame), size, coefficients, Image.Resampling.NEAREST)
    )[..., 3]
    for y in range(0, frame, 7):
        for x in range(0, frame, 7):
            px, py = x + 0.5, y + 0.5
            w = g * px + h * py + 1
            u, v = (a * px + b * py + c) / w, (d * px + e * py + f) / w
            if min(abs(u), abs(v), abs(u - SIDE), abs(v - SIDE)) > 1:
                assert (alpha[y, x] > 0) == (0 < u < SIDE and 0 < v < SIDE)


def test_most_of_a_product_stays_in_the_frame() -> None:
    product = draw_product("trousers", "red", "plain", rng())
    seen = np.asarray(product.getchannel("A"))
    for seed in range(40):
        a, b, _, d, e, _, _, _ = coefficients = pose(160, rng(seed))
        posed = product.transform((160, 160), Image.Transform.PERSPECTIVE, coefficients)
        whole = (seen > 0).sum() / abs(a * e - b * d)  # about: the tilt is small
        assert (np.asarray(posed.getchannel("A")) > 0).sum() > 0.6 * whole


def test_a_cover_hides_a_fifth_at_most_and_now_and_then_something() -> None:
    alpha = draw_product("watch", "red", "plain", rng()).getchannel("A")
    shares = []
    for seed in range(60):
        mask = np.asarray(cover(alpha, rng(seed))) > 0
        shares.append((mask & (np.asarray(alpha) > 0)).sum() / (np.asarray(alpha) > 0).sum())
    assert max(shares) <= 0.2
    assert max(shares) > 0.05


def test_nothing_to_cover_gives_an_empty_product_no_error() -> None:
    empty = Image.new("L", (64, 64))
    assert cover(empty, rng()).size == (64, 64)


def test_backgrounds_fill_the_frame_and_differ() -> None:
    scenes = [background(50, rng(seed)) for seed in range(30)]
    assert all(scene.size == (50, 50) and scene.mode == "RGB" for scene in scenes)
    counts = [len(scene.getcolors(2500) or []) for scene in scenes]
    assert min(counts) == 1  # plain
    assert any(1 < count < 12 for count in counts)  # clutter
    assert max(counts) > 20  # gradient, texture


def test_one_product_gives_other_photos_and_one_seed_gives_the_same() -> None:
    product = draw_product("boot", "blue", "dots", rng())
    one, same, other = (np.asarray(photograph(product, 48, rng(seed))) for seed in (1, 1, 2))
    assert one.shape == (48, 48, 3)
    assert (one == same).all()
    assert np.abs(one.astype(int) - other).mean() > 10


def test_colour_pattern_and_gender_do_not_depend_on_the_label() -> None:
    for seed in range(5):
        rows = [draw_item(label, 32, rng(seed))[0] for label in SHAPES]
        assert [row.pop("label") for row in rows] == list(SHAPES)
        assert all(row == rows[0] for row in rows)


def test_a_pair_shows_two_products_on_one_background() -> None:
    grey = Image.new("RGB", (64, 64), "grey")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "background", lambda frame, rng: grey.resize((frame, frame)))
        patch.setattr(demo, "lit", lambda photo, rng: photo)
        photo = np.asarray(demo.draw_pair("t-shirt", "boot", 64, rng(1))).astype(int)
    drawn = np.abs(photo - 128).max(axis=2) > 20
    assert photo.shape == (64, 64, 3)
    for half in (drawn[:, :32], drawn[:, 32:]):
        assert 0.03 < half.mean() < 0.5


# the catalog


def test_items_are_complete(drawn: DemoCatalog) -> None:
    items = drawn.items()
    assert drawn.synthetic
    assert list(items) == ["id", "path", "label", "category", "colour", "pattern", "gender"]
    assert list(items["id"]) == [f"demo-{index:05d}" for index in range(64)]
    assert items["label"].value_counts().reindex(list(SHAPES)).tolist() == long_tail(64, 16)
    assert items["category"].tolist() == [CATEGORIES[label] for label in items["label"]]
    assert set(items["colour"]) <= set(COLOURS)
    assert set(items["pattern"]) == set(PATTERNS)
    assert set(items["gender"]) == {"women", "men", "unisex"}


def test_every_type_has_a_category_of_several() -> None:
    assert list(SHAPES) == sorted(CATEGORIES, key=list(SHAPES).index)
    assert all(count >= 3 for count in Counter(CATEGORIES.values()).values())


def test_the_first_items_are_mixed(drawn: DemoCatalog) -> None:
    assert drawn.items()["label"].head(16).nunique() > 3


def test_photos_are_jpegs_of_the_size(drawn: DemoCatalog) -> None:
    for path in drawn.items()["path"]:
        with Image.open(path) as photo:
            assert (photo.format, photo.size, photo.mode) == ("JPEG", (40, 40), "RGB")


def test_an_item_can_be_drawn_alone(drawn: DemoCatalog, tmp_path: Path) -> None:
    item = drawn.read().iloc[37]
    row, photo = draw_item(item["label"], 40, np.random.default_rng([0, 37]))
    photo.save(tmp_path / "alone.jpg", quality=90)
    assert (tmp_path / "alone.jpg").read_bytes() == Path(item["path"]).read_bytes()
    assert row == item[["label", "colour", "pattern", "gender"]].to_dict()


def test_the_folder_says_that_it_is_synthetic(drawn: DemoCatalog) -> None:
    assert "synthetic" in (drawn.folder / "README.txt").read_text()
    assert "path" not in pd.read_csv(drawn.folder / "items.csv")
    assert json.loads((drawn.folder / "demo.json").read_text()) == drawn.settings


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        small(tmp_path / name, seed=seed).prepare()
    photos = {
        name: (tmp_path / name / "photos/demo-00002.jpg").read_bytes()
        for name in ("one", "same", "other")
    }
    assert photos["one"] == photos["same"] != photos["other"]
    assert (tmp_path / "one/items.csv").read_bytes() == (tmp_path / "same/items.csv").read_bytes()


def test_prepare_twice_draws_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "deep" / "demo").prepare()
    monkeypatch.setattr(demo, "draw_item", None)  # drawing again would fail
    small(tmp_path / "deep" / "demo").prepare()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["demo"]


def test_other_settings_are_named_and_nothing_is_touched(tmp_path: Path) -> None:
    small(tmp_path / "demo").prepare()
    before = (tmp_path / "demo/items.csv").read_bytes()
    with pytest.raises(
        CatalogError,
        match=r"n_items is 4, not 6; seed is 0, not 9.* Delete the folder or name another",
    ):
        small(tmp_path / "demo", n_items=6, seed=9).prepare()
    with pytest.raises(CatalogError, match="photo_size is 32, not 33"):
        small(tmp_path / "demo", photo_size=33).items()
    assert (tmp_path / "demo/items.csv").read_bytes() == before


def test_another_drawing_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path / "demo").prepare()
    monkeypatch.setattr(demo, "DRAWING_VERSION", 99)
    with pytest.raises(CatalogError, match="version is 1, not 99"):
        small(tmp_path / "demo").prepare()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(CatalogError, match="isn't a demo catalog"):
        small(tmp_path / "mine").prepare()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_pairs_have_a_table_of_their_own_and_leave_the_items_alone(tmp_path: Path) -> None:
    small(tmp_path / "plain").prepare()
    with_pairs = small(tmp_path / "pairs", n_labels=2, pairs=3)
    with_pairs.prepare()
    for name in ("items.csv", "photos/demo-00002.jpg"):
        assert (tmp_path / "pairs" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert len(with_pairs.items()) == len(small(tmp_path / "pairs").items()) == 4
    assert not (tmp_path / "plain/pairs.csv").exists()

    table = pd.read_csv(tmp_path / "pairs/pairs.csv")
    assert table["id"].tolist() == ["pair-00000", "pair-00001", "pair-00002"]
    assert (table["label"] != table["right"]).all()
    assert set(table["label"]) | set(table["right"]) == set(list(SHAPES)[:2])
    for path in table["path"]:
        with Image.open(tmp_path / "pairs" / path) as photo:
            assert photo.size == (32, 32)
    with pytest.raises(CatalogError, match="pairs is None, not 3"):
        small(tmp_path / "plain", pairs=3).prepare()


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(3))

    def interrupted(*arguments: object) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return draw_item(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "draw_item", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "demo").prepare()
    assert list(tmp_path.iterdir()) == []


def test_reading_before_drawing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"not drawn yet: call prepare\(\)"):
        small(tmp_path / "demo").items()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_labels": 1}, r"n_labels is 1; set it to 2\.\.16"),
        ({"n_labels": 17}, r"n_labels is 17; set it to 2\.\.16"),
        ({"n_items": 31, "n_labels": 16}, "n_items is 31; 16 labels need 32 or more"),
        ({"photo_size": 31}, "photo_size is 31"),
        ({"seed": -1}, "seed is -1"),
        ({"pairs": -1}, "pairs is -1"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        small(tmp_path / "demo", **settings)
