import pytest
from small_findings import make, write_photos

from vsearch.pages import projection
from vsearch.pages.base import Findings


@pytest.fixture(autouse=True)
def without_pacmap(request, monkeypatch):
    """Numba takes seconds to start: only the tests of the map itself wait for it."""

    def missing(*_):
        raise ImportError("no pacmap here")

    if "with_pacmap" not in request.fixturenames:
        monkeypatch.setattr(projection, "_pacmap", missing)


@pytest.fixture
def with_pacmap():
    """The test uses PaCMAP."""


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> list[str]:
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture(scope="session")
def findings(photos) -> Findings:
    """Four labels that lie a little over one another."""
    return make(photos, ["shirt", "skirt", "shoe", "sock"], spread=0.9)
