import numpy as np
import torch
from tiny import TinyBackbone

from vsearch.models.embedder import Embedder
from vsearch.models.normalising import normalise
from vsearch.models.runtimes.torch import TorchRuntime


def photos(n: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def test_float32_is_the_network_on_normalised_photos():
    embedder = Embedder(TinyBackbone()).eval()
    with torch.inference_mode():
        wanted = embedder(normalise(torch.from_numpy(photos(5)), embedder.preprocessing)).numpy()
    found = TorchRuntime(embedder).embed(photos(5))
    assert found.dtype == np.float32
    assert np.array_equal(found, wanted)


def test_bfloat16_is_nearly_the_same_and_leaves_the_network_as_it_was():
    torch.manual_seed(0)
    embedder = Embedder(TinyBackbone()).eval()
    before = {name: value.clone() for name, value in embedder.state_dict().items()}
    ours, theirs = (
        TorchRuntime(embedder).embed(photos(16)),
        TorchRuntime(embedder, bfloat16=True).embed(photos(16)),
    )
    assert theirs.dtype == np.float32
    assert np.allclose(np.linalg.norm(theirs, axis=1), 1, atol=1e-6)
    assert 0.999 < (ours * theirs).sum(1).min() < 1 - 1e-7
    assert all(torch.equal(value, before[name]) for name, value in embedder.state_dict().items())


def test_they_say_how_they_compute():
    embedder = Embedder(TinyBackbone()).eval()
    assert [TorchRuntime(embedder, low).says for low in (False, True)] == [
        "torch float32",
        "torch bfloat16",
    ]
