import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny import TinyBackbone
from torch import Tensor, nn

from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.folding import fold
from vsearch.models.runtimes.torch import TorchRuntime


def warm(network: nn.Module) -> nn.Module:
    """Give BatchNorms statistics and weights of their own, then eval mode."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.running_mean, part.running_var, part.weight, part.bias):
                nn.init.uniform_(values, 0.5, 1.5)
    return network.eval()


class Twice(nn.Module):
    """A convolution, or a norm, that is used twice, or whose output is."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.norm = kind, nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, photos: Tensor) -> Tensor:
        match self.kind:
            case "conv":
                return self.norm(self.conv(self.conv(photos)))
            case "norm":
                return self.norm(self.norm(self.conv(photos)))
            case "output":
                found = self.conv(photos)
                return self.norm(found) + found
            case "branch":  # can't be traced
                return self.norm(self.conv(photos)) if photos.sum() > 0 else photos
        return self.norm(self.conv(photos))


@pytest.mark.parametrize(
    ("network", "n"),
    [
        (Embedder(TinyBackbone()), 1),
        (Embedder(TorchvisionBackbone("resnet18", None, image_size=32)), 20),
        (Twice("once"), 1),
        (Twice("conv"), 0),
        (Twice("norm"), 0),
        (Twice("output"), 0),
        (Twice("branch"), 0),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)), 0),
    ],
)
def test_it_computes_the_same_without_the_norms(network, n):
    if not isinstance(network, nn.Sequential):
        warm(network)
    network.eval()
    photos = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        before = network(photos)
    assert fold(network) == n
    with torch.inference_mode():
        assert torch.allclose(network(photos), before, atol=1e-5)
    assert sum(isinstance(part, nn.Identity) for part in network.modules()) >= n


def test_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0)).eval()
    network.load_state_dict(
        {
            **{"0.weight": torch.full((1, 1, 1, 1), 3.0), "0.bias": torch.tensor([1.0])},
            **{"1.weight": torch.tensor([2.0]), "1.bias": torch.tensor([7.0])},
            **{"1.running_mean": torch.tensor([5.0]), "1.running_var": torch.tensor([4.0])},
            "1.num_batches_tracked": torch.tensor(1),
        }
    )
    assert fold(network) == 1
    assert network[0].weight.item() == pytest.approx(3 * 2 / 2)
    assert network[0].bias.item() == pytest.approx((1 - 5) * 2 / 2 + 7)


def test_other_threads_embed_while_a_network_is_traced():
    runtime = TorchRuntime(Embedder(TinyBackbone()).eval())
    photos = np.zeros((1, 3, runtime.preprocessing.size, runtime.preprocessing.size), np.uint8)
    expected = runtime.embed(photos)
    tracing = threading.Event()
    tracing.set()

    def trace() -> int:
        rounds = 0
        while tracing.is_set():
            assert fold(warm(Twice("once"))) == 1
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as threads:
        rounds = threads.submit(trace)
        for _ in range(300):
            assert (runtime.embed(photos) == expected).all()
        tracing.clear()
        assert rounds.result() > 3
