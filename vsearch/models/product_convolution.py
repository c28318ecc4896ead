from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 36  # places of the map that comes in, up to which a product is quicker in float32 as well


class ProductConv2d(nn.Conv2d):
    """A convolution that, while it is trained, is one matrix product where CPUs are quicker so.

    It computes the same up to rounding.

    Every place's surroundings become a row (im2col: Chellapilla et al. 2006, "High Performance
    Convolutional Neural Networks for Document Processing"). PyTorch's own gradient of a convolution
    of small maps is far from what a CPU can do, above all in bfloat16; that of a product is near
    it. `benchmarks/step_parts.py` has figures.
    """

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        """Return a layer that computes the same with the same weights, which both then share."""
        with torch.device("meta"):  # its own weights take no memory
            product = cls(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
        product.weight = layer.weight
        product.bias = layer.bias
        product.training = layer.training
        return product

    def _get_name(self) -> str:
        return "Conv2d"  # a network's text, and so its trunk's key, stays the same

    def forward(self, maps: Tensor) -> Tensor:
        """Return float (B, C_out, h', w') of float (B, C, h, w)."""
        if self.weight.requires_grad and _is_quicker(maps):
            return as_product(self, maps)
        return super().forward(maps)


def use_products(network: nn.Module) -> int:
    """Replace a network's convolutions by ones that are products where that is quicker.

    Weights, their names and checkpoints stay as they are. Left out are grouped and dilated
    convolutions, other padding than zeros, and subclasses.

    Returns:
        How many convolutions are replaced.
    """
    products: dict[nn.Module, ProductConv2d] = {}
    for parent in [*network.modules()]:
        for name, layer in [*parent.named_children()]:
            if type(layer) is not nn.Conv2d or not _fits(layer):
                continue
            if layer not in products:
                products[layer] = ProductConv2d.of(layer)
            setattr(parent, name, products[layer])
    return len(products)


def as_product(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """Return what a convolution makes of maps (B, C, h, w), by one matrix product.

    The convolution is neither grouped nor dilated, and pads by numbers.
    """
    rows, columns = layer.kernel_size
    down, right = layer.stride
    edge_y, edge_x = cast(tuple[int, int], layer.padding)
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, edge_x, edge_x, edge_y, edge_y))
    height = (padded.shape[1] - rows) // down + 1
    width = (padded.shape[2] - columns) // right + 1
    shifted = [
        padded[:, y : y + (height - 1) * down + 1 : down, x : x + (width - 1) * right + 1 : right]
        for y in range(rows)
        for x in range(columns)
    ]
    around = torch.cat(shifted, dim=-1).reshape(-1, rows * columns * maps.shape[1])
    weights = layer.weight.permute(0, 2, 3, 1).reshape(layer.out_channels, -1)
    products = F.linear(around, weights, layer.bias)
    return products.view(len(maps), height, width, -1).permute(0, 3, 1, 2)


def _fits(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return plain and isinstance(layer.padding, tuple)


def _is_quicker(maps: Tensor) -> bool:
    """Say so by what was measured once, so that a run repeats bit by bit."""
    if maps.device.type != "cpu":
        return False
    autocast = (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    low = autocast or maps.dtype == torch.bfloat16
    return low or maps.shape[2] * maps.shape[3] <= SMALL
