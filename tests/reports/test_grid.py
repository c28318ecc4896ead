from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsearch.evaluation.scoring import Embedded, top_hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.reports import grid as module
from vsearch.reports.grid import (
    CAPTION,
    CELL,
    FRAME,
    GAP,
    QUERY,
    RIGHT,
    WRONG,
    Shown,
    example_grid,
    grid,
)


def shown(right: bool | None, caption: str = "x", size: tuple[int, int] = (30, 20)) -> Shown:
    return Shown(Image.new("RGB", size, (1, 2, 3)), caption, right)


def corner(line: int, column: int) -> tuple[int, int]:
    return GAP + column * (CELL + GAP) + (GAP if column else 0), GAP + line * (CELL + CAPTION + GAP)


def frame(sheet: Image.Image, line: int, column: int) -> tuple[int, ...]:
    """The one colour of the frame at all of its four sides."""
    left, top = corner(line, column)
    ends, middle = (0, FRAME - 1, CELL - FRAME, CELL - 1), CELL // 2
    found = {sheet.getpixel((left + at, top + middle)) for at in ends}
    found |= {sheet.getpixel((left + middle, top + at)) for at in ends}
    assert len(found) == 1
    return found.pop()


def test_the_frames_tell_right_wrong_and_query():
    sheet = grid(
        [[shown(None), shown(True), shown(False)], [shown(None), shown(False), shown(True)]]
    )
    assert [frame(sheet, 0, column) for column in range(3)] == [QUERY, RIGHT, WRONG]
    assert [frame(sheet, 1, column) for column in range(3)] == [QUERY, WRONG, RIGHT]


@pytest.mark.parametrize("size", [(30, 20), (300, 100), (1, 400), (CELL, CELL)])
def test_photos_of_any_size_lie_whole_within_their_frame(size):
    sheet = grid([[shown(None, size=size)]])
    assert frame(sheet, 0, 0) == QUERY
    ys, xs = np.nonzero((np.asarray(sheet) == (1, 2, 3)).all(axis=2))
    inner = CELL - 2 * FRAME
    assert max(np.ptp(xs), np.ptp(ys)) + 1 == inner
    assert np.ptp(xs) + 1 == pytest.approx(max(1, inner * size[0] / max(size)), abs=1)


def test_rows_of_different_length_and_long_captions_fit():
    long = grid(
        [[shown(None, "a caption far longer than its cell is wide")], [shown(None), shown(True)]]
    )
    assert long.size == (2 * (CELL + GAP) + 2 * GAP, 2 * (CELL + CAPTION + GAP) + GAP)
    left, top = corner(0, 0)
    outside = np.asarray(long)[top + CELL : top + CELL + CAPTION, left + CELL + 1 :]
    assert (outside == 255).all()


@pytest.mark.parametrize(
    "caption", ["two\nlines", "a\tb\r\n", "\x00\x07\x1b[31m", "x" * 100_000, "\n", "\ud800", "👜 ‮é"]
)
def test_any_caption_can_be_drawn(caption: str):
    assert grid([[shown(None, caption)]]).size == grid([[shown(None)]]).size


class Case:
    """A gallery of one-coloured photos whose colour is their number; queries are gallery items or
    further ones.
    """

    def __init__(
        self, folder: Path, labels: Sequence[int], asked: Sequence[int], held: Sequence[int]
    ) -> None:
        folder.mkdir(exist_ok=True)
        for number in range(len(labels)):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
        paths = [str(folder / f"{number}.png") for number in range(len(labels))]
        self.items = pd.DataFrame({"path": paths, "label": [f"label {label}" for label in labels]})
        vectors = np.random.default_rng(0).standard_normal((len(labels), 6)).astype(np.float32)
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.asked, self.held, labels = list(asked), list(held), np.asarray(labels)
        self.index = FaissIndex()
        self.index.build(self.vectors[self.held])
        self.queries = Embedded(self.vectors[self.asked], labels[self.asked], np.array(self.asked))
        self.gallery = Embedded(self.vectors[self.held], labels[self.held], np.array(self.held))

    def draw(self, n: int, k: int) -> Image.Image:
        hits = top_hits(self.index, self.queries, self.gallery, k)
        asked = self.items.iloc[self.asked]
        return example_grid(hits, asked, self.items.iloc[self.held], n, k)

    def rows(self, monkeypatch, n: int, k: int) -> list[list[tuple[int, str, bool | None]]]:
        """What is drawn: the number of each photo, its caption, and whether it counts as right."""
        seen: list[Sequence[Sequence[Shown]]] = []
        with monkeypatch.context() as patch:
            patch.setattr(
                module, "grid", lambda rows: seen.append(rows) or Image.new("RGB", (1, 1))
            )
            self.draw(n, k)
        return [
            [(one.photo.getpixel((0, 0))[0], one.caption, one.right) for one in row]
            for row in seen[0]
        ]


def test_hits_are_the_nearest_and_right_when_their_label_is(tmp_path, monkeypatch):
    labels = [number % 3 for number in range(30)]
    case = Case(tmp_path / "photos", labels, asked=range(20, 30), held=range(20))
    rows = case.rows(monkeypatch, n=4, k=5)
    assert len(rows) == 4
    for (query, caption, right), *hits in rows:
        assert query >= 20
        assert (caption, right) == (f"label {labels[query]}", None)
        nearest = np.argsort(-case.vectors[:20] @ case.vectors[query])[:5].tolist()
        assert hits == [
            (hit, f"label {labels[hit]}", labels[hit] == labels[query]) for hit in nearest
        ]


def test_the_query_is_never_among_its_hits(tmp_path, monkeypatch):
    case = Case(
        tmp_path / "photos", [number % 2 for number in range(12)], asked=range(12), held=range(12)
    )
    for (query, _, _), *hits in case.rows(monkeypatch, n=12, k=4):
        others = [number for number in range(12) if number != query]
        nearest = sorted(
            others, key=lambda number: -float(case.vectors[number] @ case.vectors[query])
        )[:4]
        assert [hit for hit, _, _ in hits] == nearest


def test_a_gallery_smaller_than_the_row_is_shown_whole(tmp_path, monkeypatch):
    case = Case(tmp_path / "photos", [0, 0, 1], asked=[2], held=[0, 1])
    ((query, *hits),) = case.rows(monkeypatch, n=10, k=8)
    assert query == (2, "label 1", None)
    assert {(hit, right) for hit, _, right in hits} == {(0, False), (1, False)}


def test_every_label_comes_once_before_any_comes_twice(tmp_path, monkeypatch):
    labels = [0] * 20 + [1, 2, 3]
    case = Case(tmp_path / "photos", labels, asked=range(23), held=range(23))
    captions = [row[0][1] for row in case.rows(monkeypatch, n=6, k=1)]
    assert sorted(captions[:4]) == ["label 0", "label 1", "label 2", "label 3"]
    assert captions[4:] == ["label 0", "label 0"]


def test_the_same_search_gives_the_same_picture(tmp_path):
    case = Case(
        tmp_path / "photos",
        [number % 3 for number in range(20)],
        asked=range(10, 20),
        held=range(10),
    )
    assert case.draw(5, 4).tobytes() == case.draw(5, 4).tobytes()


def test_the_drawn_picture_has_the_colours_of_what_was_found(tmp_path, monkeypatch):
    case = Case(
        tmp_path / "photos", [number % 2 for number in range(12)], asked=range(8, 12), held=range(8)
    )
    sheet = case.draw(2, 6)
    for line, row in enumerate(case.rows(monkeypatch, n=2, k=6)):
        wanted = [QUERY if right is None else RIGHT if right else WRONG for _, _, right in row]
        assert [frame(sheet, line, column) for column in range(7)] == wanted
