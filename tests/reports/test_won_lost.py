import shutil

import numpy as np
from PIL import Image
from test_comparison import BASE, BETTER
from test_runs import COLOURS, LABELS, opened

from vsearch.evaluation.comparing.comparison import compare
from vsearch.reports.grid import CAPTION, CELL, GAP, QUERY, RIGHT, WRONG
from vsearch.reports.won_lost import MISSING, TITLE, won_lost

ROW = CELL + CAPTION + GAP
HITS = [[0, 3], [3, 5], [4, 0], [3, 4], [3, 0], [5, 0]]
OTHER_HITS = [[0, 3], [1, 2], [4, 2], [3, 4], [0, 5], [0, 5]]


def compared(tmp_path, other=BETTER):
    base = opened(tmp_path / "base", BASE, hits=HITS)
    return compare(base, opened(tmp_path / "run", other, hits=OTHER_HITS))


def cells(
    sheet: Image.Image, top: int, k: int = 2
) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """The frame and the middle of each photo of one row, for the left and for the right panel."""
    panels, width = [], (k + 1) * (CELL + GAP) + 2 * GAP
    for panel in range(2):
        lefts = [
            panel * width + GAP + column * (CELL + GAP) + (GAP if column else 0)
            for column in range(k + 1)
        ]
        panels.append(
            [
                (sheet.getpixel((left, top)), sheet.getpixel((left + CELL // 2, top + CELL // 2)))
                for left in lefts
            ]
        )
    return panels


def expected(query: int, hits: list[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    label = LABELS[query]
    found = [(RIGHT if LABELS[hit] == label else WRONG, COLOURS[LABELS[hit]]) for hit in hits]
    return [(QUERY, COLOURS[label]), *found]


def test_each_row_is_a_query_with_what_both_runs_find(tmp_path):
    sheet = won_lost(compared(tmp_path), k=2)
    tops = [TITLE + GAP, TITLE + GAP + ROW]  # two won, then a heading, then two lost
    tops += [top + TITLE + 2 * ROW + GAP for top in tops]
    for top, query in zip(tops, (1, 2, 4, 5), strict=True):
        assert cells(sheet, top) == [
            expected(query, HITS[query]),
            expected(query, OTHER_HITS[query]),
        ]


def test_only_so_many_are_drawn_and_the_largest_changes_first(tmp_path):
    sheet = won_lost(compared(tmp_path), n=1, k=2)
    assert sheet.height == 2 * (TITLE + ROW + GAP)
    assert cells(sheet, TITLE + GAP)[0] == expected(1, HITS[1])
    assert cells(sheet, 2 * TITLE + ROW + 2 * GAP)[0] == expected(4, HITS[4])


def test_photos_that_are_gone_are_grey(tmp_path):
    comparison = compared(tmp_path)
    shutil.rmtree(tmp_path / "photos")
    grey = MISSING.getpixel((0, 0))
    left, right = cells(won_lost(comparison, k=2), TITLE + GAP)
    assert [middle for _, middle in left + right] == [grey] * 6
    assert [frame for frame, _ in right] == [QUERY, RIGHT, RIGHT]


def test_without_losses_only_the_wins_are_drawn(tmp_path):
    only_won = {
        "precision_at_1": BASE["precision_at_1"],
        "map_at_r": [1.0, 0.2, 0.3, 0.8, 0.5, 0.1],
    }
    assert won_lost(compared(tmp_path, only_won), k=2).height == TITLE + ROW + GAP


def test_when_nothing_changed_there_is_no_picture(tmp_path):
    assert won_lost(compared(tmp_path, BASE)) is None


def test_a_gallery_smaller_than_the_row_is_shown_whole(tmp_path):
    sheet = np.asarray(won_lost(compared(tmp_path), k=5))
    assert sheet.shape[1] == 2 * (3 * (CELL + GAP) + 2 * GAP)
