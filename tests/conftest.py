import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist fills the cores: more threads would wait for one another

from pathlib import Path

import pytest
from tiny import ColourCatalog


@pytest.fixture
def colours(tmp_path: Path) -> ColourCatalog:
    catalog = ColourCatalog(str(tmp_path / "colours"))
    catalog.prepare()
    return catalog
