import logging
import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # pytest-xdist fills the cores: more threads would wait for one another
os.environ.pop(
    "PYTHONDONTWRITEBYTECODE", None
)  # else each process that a test starts compiles the libraries anew
os.environ["VSEARCH_PLUGINS"] = "tiny"  # bundles of tests name its network, in other processes too

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn import drawn
from tiny import ColourCatalog


@pytest.fixture
def colours(tmp_path: Path) -> ColourCatalog:
    catalog = ColourCatalog(str(tmp_path / "colours"))
    catalog.prepare()
    return catalog


@pytest.fixture(autouse=True)
def no_log_handler_outlives_a_test() -> Iterator[None]:
    """Libraries give the root logger handlers that write to the captured stderr, which ends with
    the test.
    """
    yield
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def cpu_without_bfloat16() -> Iterator[None]:
    """Networks compute in float32 on every machine that tests run on."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("vsearch.models.precision", "vsearch.bundle.exports.choice"):
            patch.setattr(f"{place}.cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory) -> Iterator[None]:
    """What programs keep in the user's cache folder lies in the tests'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def without_waiting_for_the_disk() -> Iterator[None]:
    """No test cuts the power, and checkpoints are large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def without_exports() -> Iterator[None]:
    """Fits leave no ONNX: PyTorch's exporter takes seconds. Tests of it ask for
    `callbacks.build_index.export` themselves.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callbacks.build_index.export", lambda bundle, wanted: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def without_drawing() -> Iterator[None]:
    """Fits draw neither example hits nor report.html, which take much of their time. Tests of
    these ask for `drawing`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callbacks.build_index.example_grid", lambda *_: None)
        patch.setattr("vsearch.reports.fit_report.report_file", lambda _: {})
        yield


@pytest.fixture
def drawing() -> Iterator[None]:
    with drawn():
        yield


@pytest.fixture(scope="session", autouse=True)
def without_pacmap() -> Iterator[None]:
    """Reports lay their maps out by principal components: Numba takes seconds to start, in every
    process.
    """

    def missing(*_: object) -> None:
        raise ImportError("tests/pages/test_projection.py uses it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vsearch.reports.html.projection._pacmap", missing)
        yield
