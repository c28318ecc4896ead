from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 36  # positions of an input map up to which a product is quicker in float32, too


class ProductConv2d(nn.Conv2d):
    """A convolution that trains as one matrix product where that is quicker on a CPU.

    The result is the same up to rounding.

    The neighbourhood of each position becomes a row (im2col: Chellapilla et al. 2006, "High
    Performance Convolutional Neural Networks for Document Processing"). For small maps, PyTorch's
    gradient of a convolution is much slower than a CPU allows, above all in bfloat16; that of a
    product is nearly as fast. `benchmarks/step_parts.py` has figures.
    """

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        """Return a layer that computes the same and shares the weights."""
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
        return "Conv2d"  # so that a network's text, and its trunk's key, stay the same

    def forward(self, maps: Tensor) -> Tensor:
        """Return float (B, C_out, h', w') of float (B, C, h, w)."""
        if self.weight.requires_grad and _is_quicker(maps):
            return as_product(self, maps)
        return super().forward(maps)


def use_products(network: nn.Module) -> int:
    """Replace a network's convolutions with ones that are products where that is quicker.

    Weights, their names and checkpoints stay as they are. Grouped and dilated convolutions, padding
    other than zeros, and subclasses stay unchanged.

    Returns:
        The number of replaced convolutions.
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
    """Return the convolution of maps (B, C, h, w), by one matrix product.

    The convolution must be neither grouped nor dilated, and its padding must be numeric.
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
    """Decide from earlier measurements, not at run time, so that runs repeat bit by bit."""
    if maps.device.type != "cpu":
        return False
    autocast = (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    low = autocast or maps.dtype == torch.bfloat16
    return low or maps.shape[2] * maps.shape[3] <= SMALL
