import numpy as np
import pytest
from scipy.linalg import eigh

from vsearch.models.adaptations.lda import LDA


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(n: int, dim: int, n_labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_labels), rng.integers(0, n_labels, n - n_labels)])
    return unit(rng.normal(size=(n_labels, dim))[labels] + rng.normal(size=(n, dim))), labels


def apart(vectors: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs: what turning and mirroring a space leaves as it is."""
    return np.square(vectors[:, None] - vectors[None]).sum(axis=2)


def photo_by_photo(vectors: np.ndarray, labels: np.ndarray, shrinkage: float) -> np.ndarray:
    """The directions as solutions of a generalised eigenproblem, best first, (dim, dim)."""
    dim = vectors.shape[1]
    within = np.zeros((dim, dim))
    between = np.zeros((dim, dim))
    for vector, label in zip(vectors, labels, strict=True):
        centroid = vectors[labels == label].mean(0)
        within += np.outer(vector - centroid, vector - centroid) / len(vectors)
        between += np.outer(centroid - vectors.mean(0), centroid - vectors.mean(0)) / len(vectors)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / dim * np.eye(dim)
    return eigh(between, shrunk)[1][:, ::-1]


@pytest.mark.parametrize("shrinkage", [0.01, 0.3, 1.0])
@pytest.mark.parametrize(("n", "dim", "n_labels"), [(60, 5, 3), (60, 3, 7), (12, 20, 4)])
def test_against_loops(n, dim, n_labels, shrinkage):
    vectors, labels = drawn(n, dim, n_labels)
    labels = labels * 7 + 3  # codes may have gaps
    weight = LDA(shrinkage).fit(vectors, labels).weight.numpy()
    assert weight.shape == (min(dim, n_labels - 1), dim)
    wanted = photo_by_photo(vectors.astype(np.float64), labels, shrinkage)[:, : len(weight)]
    found = apart(vectors @ weight.T)
    assert found == pytest.approx(apart(vectors @ wanted), rel=1e-3, abs=1e-3)


def test_embeddings_are_centred_and_vary_by_one_within_labels():
    vectors, labels = drawn(500, 6, 3)
    layer = LDA(1e-6).fit(vectors, labels)
    found = vectors @ layer.weight.numpy().T + layer.bias.numpy()
    assert found.mean(0) == pytest.approx(0, abs=1e-4)
    for label in range(3):
        found[labels == label] -= found[labels == label].mean(0)
    assert found.T @ found / len(found) == pytest.approx(np.eye(2), abs=1e-3)


def test_two_labels_by_hand():
    # they differ along x, and are spread along y alone: with full shrinkage by the same in x and y
    vectors = np.array([[0.6, 0.8], [0.6, -0.8], [-0.6, 0.8], [-0.6, -0.8]], dtype=np.float32)
    layer = LDA(1.0).fit(vectors, np.array([0, 0, 1, 1]))
    # variance within labels: 0 and 0.64, on average 0.32
    assert np.abs(layer.weight.numpy()) == pytest.approx(np.array([[0.32**-0.5, 0]]), abs=1e-5)
    assert layer.bias.numpy() == pytest.approx([0], abs=1e-6)


def test_a_photo_of_each_label_is_enough_for_numbers():
    vectors, labels = drawn(4, 6, 4)
    layer = LDA().fit(np.concatenate([vectors, vectors]), np.concatenate([labels, labels]))
    assert not np.isnan(layer.weight.numpy()).any()


def test_it_is_no_longer_trained():
    layer = LDA().fit(*drawn(30, 4, 3))
    assert not layer.weight.requires_grad
    assert not layer.bias.requires_grad


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.1])
def test_a_share_is_a_share(shrinkage):
    message = rf"^shrinkage: it must be above 0 and up to 1, not {shrinkage}\.$"
    with pytest.raises(ValueError, match=message):
        LDA(shrinkage)
