import numpy as np
import pytest

from vsearch.models.adaptations.pca import PCA


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(n: int = 300, dim: int = 6) -> np.ndarray:
    """Unit vectors that vary differently along turned axes."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return unit(rng.normal(size=(n, dim)) / np.arange(1, dim + 1) @ turn + 0.2)


def labels(vectors: np.ndarray) -> np.ndarray:
    return np.zeros(len(vectors), dtype=int)


def mapped(pca: PCA, vectors: np.ndarray) -> np.ndarray:
    layer = pca.fit(vectors, labels(vectors))
    return vectors @ layer.weight.numpy().T + layer.bias.numpy()


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dim", [2, 4, 6])
def test_against_the_singular_vectors(dim, whitening):
    vectors = drawn()
    centred = vectors - vectors.mean(0)
    left, lengths, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    deviations = lengths / np.sqrt(len(vectors))
    wanted = left * lengths / deviations**whitening
    found = mapped(PCA(dim, whitening), vectors)
    # a component's sign is free
    np.testing.assert_allclose(np.abs(found), np.abs(wanted[:, :dim]), atol=1e-4)


def test_whitened_components_vary_alike_and_half_whitened_ones_by_their_roots():
    vectors = drawn()
    plain = mapped(PCA(4, 0.0), vectors).std(0)
    assert mapped(PCA(4, 1.0), vectors).std(0) == pytest.approx(np.ones(4), abs=1e-4)
    assert mapped(PCA(4, 0.5), vectors).std(0) == pytest.approx(np.sqrt(plain), abs=1e-4)


def test_two_components_by_hand():
    vectors = np.array([[0.6, 0.8], [0.6, -0.8], [-0.6, 0.8], [-0.6, -0.8]], dtype=np.float32)
    layer = PCA(2, 1.0).fit(vectors, labels(vectors))
    wanted = np.array([[0, 1 / 0.8], [1 / 0.6, 0]])
    np.testing.assert_allclose(np.abs(layer.weight.numpy()), wanted, atol=1e-5)
    np.testing.assert_allclose(layer.bias.numpy(), 0, atol=1e-6)


def test_a_direction_without_variance_gives_numbers():
    vectors = unit(np.concatenate([drawn(50, 3), np.zeros((50, 1))], axis=1))
    layer = PCA(4, 1.0).fit(vectors, labels(vectors))
    assert np.isfinite(layer.weight.numpy()).all()
    np.testing.assert_array_equal(layer.weight.numpy()[3], 0)
    assert not layer.weight.requires_grad


def test_it_keeps_no_more_than_there_is():
    assert PCA(160).width(64, 3) == 64
    found = mapped(PCA(6), drawn(4))
    assert (np.abs(found).max(0) > 1e-6).sum() == 3  # four photos differ in three directions


@pytest.mark.parametrize(("dim", "whitening"), [(1, 0.5), (8, -0.1), (8, 1.1)])
def test_settings_out_of_range_are_refused(dim, whitening):
    with pytest.raises(ValueError, match=r"^(dim|whitening): "):
        PCA(dim, whitening)
