from pathlib import PurePath

import pytest

from benchmarks.house import counted


def test_a_house_counted_by_hand():
    function = "def long():\n" + "    pass\n" * 50
    found = counted(
        {
            PurePath("vsearch/__init__.py"): "",
            PurePath("vsearch/loose.py"): "x = [y for y in z]\n\n",
            PurePath("vsearch/room/file.py"): function,
            PurePath("callbacks/wide.py"): "#" * 101 + "\n",
            PurePath("tests/test_it.py"): "a\nb\n",
            PurePath("benchmarks/other.py"): "not counted",
        }
    )
    assert (found.loose_modules, found.files, found.long_functions) == (1, 4, 1)
    assert found.characters == len("x=[yforyinz]") + len("deflong():") + 4 * 50 + 101
    assert found.characters_a_line == pytest.approx((18 + 11 + 4 * 50 + 101) / 53)
    assert found.long_lines == pytest.approx(1 / 53)
    assert found.comprehensions_in_1000_lines == pytest.approx(1000 / 53)
    assert found.tests_to_code == pytest.approx(2 / 54)
