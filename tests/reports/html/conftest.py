import pytest
from small_findings import make, write_photos

from vsearch.reports.html.findings import Findings


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> list[str]:
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture(scope="session")
def findings(photos) -> Findings:
    """Four labels that lie a little over one another."""
    return make(photos, ["shirt", "skirt", "shoe", "sock"], spread=0.9)
