import copy

import pytest
import torch
from tiny import ChainBackbone
from torch import nn
from torchvision.models import resnet18

from vsearch.models import product_convolution as convolution
from vsearch.models.embedder import Embedder
from vsearch.models.product_convolution import ProductConv2d, as_product, use_products


def naive(layer: nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """The definition, in loops."""
    edge_y, edge_x = layer.padding
    padded = nn.functional.pad(maps, (edge_x, edge_x, edge_y, edge_y))
    (rows, columns), (down, right) = layer.kernel_size, layer.stride
    height, width = (padded.shape[2] - rows) // down + 1, (padded.shape[3] - columns) // right + 1
    made = torch.zeros(len(maps), layer.out_channels, height, width)
    for y in range(height):
        for x in range(width):
            part = padded[:, :, y * down : y * down + rows, x * right : x * right + columns]
            for channel in range(layer.out_channels):
                made[:, channel, y, x] = (part * layer.weight[channel]).sum(dim=(1, 2, 3))
    return made if layer.bias is None else made + layer.bias.view(1, -1, 1, 1)


LAYERS = [
    nn.Conv2d(4, 6, 1, bias=False),
    nn.Conv2d(4, 6, 1, stride=2, bias=False),
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(4, 5, (3, 2), stride=(1, 2), padding=(0, 1)),
    nn.Conv2d(3, 2, 7, stride=2, padding=3),
]


@pytest.mark.parametrize("size", [(6, 6), (3, 3), (7, 5), (5, 8)])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_product_is_the_convolution_and_has_its_gradients(layer, size):
    if size == (3, 3) and layer.kernel_size == (7, 7):
        size = (1, 1)  # all but one place is padding
    maps = torch.randn(3, layer.in_channels, *size).to(memory_format=torch.channels_last)
    assert torch.allclose(as_product(layer, maps), naive(layer, maps), atol=1e-4)
    gradients = []
    # not `layer` itself: for such small maps PyTorch 2.15 writes beside its memory on some CPUs
    for way in (lambda one: naive(layer, one), lambda one: as_product(layer, one)):
        given = maps.clone().requires_grad_()
        layer.zero_grad()
        (way(given).square().sum()).backward()
        gradients.append([given.grad, *(value.grad.clone() for value in layer.parameters())])
    assert all(
        torch.allclose(one, other, rtol=1e-3, atol=1e-3)
        for one, other in zip(*gradients, strict=True)
    )


def test_by_hand():
    layer = nn.Conv2d(1, 1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    maps = torch.tensor([[[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]]])
    assert as_product(layer, maps).tolist() == [[[[5.0, 7.0]]]]


def test_a_network_computes_the_same_and_keeps_its_weights_names_and_layout():
    torch.manual_seed(0)
    network = resnet18().to(memory_format=torch.channels_last).eval()
    plain = copy.deepcopy(network)
    assert use_products(network) == 20
    assert use_products(network) == 0
    photos = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(network(photos), plain(photos), atol=1e-4)
    assert [*network.state_dict()] == [*plain.state_dict()]
    assert str(network) == str(plain)
    maps = network.layer1(torch.randn(2, 64, 4, 4).to(memory_format=torch.channels_last))
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_only_plain_convolutions_become_products():
    network = ChainBackbone()
    assert use_products(network) == 2
    assert type(network.model.stem[0]) is ProductConv2d
    assert type(network.model.body[0]) is ProductConv2d
    others = [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ]
    assert use_products(nn.ModuleList(others)) == 0


def test_a_layer_that_stands_in_two_places_stays_one():
    layer = nn.Conv2d(4, 4, 1)
    network = nn.ModuleDict({"one": layer, "pair": nn.Sequential(layer, nn.ReLU())})
    assert use_products(network) == 1
    assert network["one"] is network["pair"][0]
    assert network["one"].weight is layer.weight


def test_only_what_is_trained_is_computed_as_a_product(monkeypatch):
    network = ChainBackbone()
    use_products(network)
    products = []

    def counted(layer, maps):
        products.append(layer)
        return as_product(layer, maps)

    monkeypatch.setattr(convolution, "as_product", counted)
    photos = torch.zeros(1, 3, 4, 4)
    network(photos)
    assert products == [network.model.body[0]]
    network.requires_grad_(True)  # as gradual unfreezing does
    network(photos)
    assert products[1:] == [network.model.stem[0], network.model.body[0]]


def test_an_embedders_cut_computes_by_products_too():
    embedder = Embedder(ChainBackbone())
    assert not any(isinstance(layer, ProductConv2d) for layer in embedder.cut.rest)
    embedder.use_products()
    assert any(isinstance(layer, ProductConv2d) for layer in embedder.cut.rest)


@pytest.mark.parametrize(
    ("size", "low", "expected"),
    [((6, 6), False, True), ((7, 6), False, False), ((7, 6), True, True)],
)
def test_it_is_a_product_where_that_is_quicker(size, low, expected, monkeypatch):
    layer = nn.Sequential(nn.Conv2d(4, 4, 3))
    use_products(layer)
    calls = []
    monkeypatch.setattr(convolution, "as_product", lambda layer, maps: calls.append(1) or maps)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        layer(torch.zeros(1, 4, *size))
    assert bool(calls) == expected
