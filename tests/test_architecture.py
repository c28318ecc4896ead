import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:vsearch|callbacks|configs|tests)/[\w./]*)`", TEXT)))


def test_the_map_names_many_places():
    assert len(PATHS) > 25


@pytest.mark.parametrize("path", PATHS)
def test_a_place_that_the_map_names_is_there(path):
    assert (ROOT / path).exists()
