import numpy as np
import pytest

from vsearch.reports.html import projection
from vsearch.reports.html.projection import principal, project

PACMAP = projection._pacmap  # before the tests are kept from it


def groups(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(3 * n) % 3
    return (10 * np.eye(3, 16)[labels] + rng.normal(size=(3 * n, 16))).astype(np.float32), labels


def nearest_agree(points: np.ndarray, labels: np.ndarray) -> float:
    distance = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(
        np.full(len(points), np.inf)
    )
    return float((labels[distance.argmin(axis=1)] == labels).mean())


@pytest.fixture
def with_pacmap(monkeypatch) -> None:
    pytest.importorskip("pacmap")
    monkeypatch.setattr(projection, "_pacmap", PACMAP)


def test_pacmap_keeps_groups_apart_and_repeats_itself(with_pacmap, monkeypatch):
    vectors, labels = groups()
    monkeypatch.setattr("faiss.omp_get_max_threads", lambda: 3)
    monkeypatch.setattr("faiss.omp_set_num_threads", (kept := []).append)
    found = project(vectors, 0)
    assert kept[-1] == 3  # PaCMAP leaves 1
    assert found.how.startswith("PaCMAP")
    assert found.points.shape == (120, 2)
    assert nearest_agree(found.points, labels) == 1
    assert np.array_equal(found.points, project(vectors, 0).points)
    assert not np.array_equal(found.points, project(vectors, 1).points)


def test_without_pacmap_there_are_principal_components_and_the_caption_says_so():
    found = project(groups()[0], 0)
    assert "principal components" in found.how
    assert "extra `map`" in found.how


def test_a_few_vectors_need_no_pacmap(with_pacmap):
    found = project(groups(5)[0], 0)
    assert "principal components" in found.how
    assert "extra" not in found.how


def test_principal_components_by_hand():
    line = np.array([[0, 0, 0], [1, 0, 1], [2, 0, 2]], dtype=np.float32)
    points, kept = principal(line)
    assert points == pytest.approx(
        np.array([[-(2**0.5), 0], [0, 0], [2**0.5, 0]]), abs=1e-9
    ) or points == (pytest.approx(np.array([[2**0.5, 0], [0, 0], [-(2**0.5), 0]]), abs=1e-9))
    assert kept == pytest.approx(1)


def test_principal_components_against_the_covariance():
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    points, kept = principal(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T.astype(np.float64)))
    assert kept == pytest.approx(values[-2:].sum() / values.sum())
    expected = (vectors - vectors.mean(axis=0)) @ axes[:, [-1, -2]]
    assert np.abs(points) == pytest.approx(np.abs(expected), abs=1e-4)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((5, 4)), np.arange(3.0)[:, None]])
def test_degenerate_vectors_are_points_too(vectors):
    points, kept = principal(vectors.astype(np.float32))
    assert points.shape == (len(vectors), 2)
    assert np.isfinite(points).all()
    assert 0 <= kept <= 1.0000001
