import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 36  # places of the map that comes in, up to which a product is quicker in float32 as well


class ProductConv2d(nn.Conv2d):
    """A convolution that is computed as one matrix product where CPUs are quicker so; the same up
    to rounding.

    Every place's surroundings become a row (im2col: Chellapilla et al. 2006, "High Performance
    Convolutional Neural Networks for Document Processing"). PyTorch's own gradient of a convolution
    of small maps is far from what a CPU can do, above all in bfloat16; that of a product is near
    it. `benchmarks/step_parts.py` has figures.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return float (B, C_out, h', w') of float (B, C, h, w)."""
        return as_product(self, maps) if _is_quicker(maps) else super().forward(maps)


def use_products(network: nn.Module) -> int:
    """Let the trained convolutions of a network be computed as products where that is quicker;
    return how many can be.

    Weights, their names and checkpoints stay as they are. Left out are grouped and dilated
    convolutions, other padding than zeros, and subclasses.
    """
    fit = [layer for layer in network.modules() if type(layer) is nn.Conv2d and _fits(layer)]
    for layer in fit:
        layer.__class__ = ProductConv2d
    return len(fit)


def as_product(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """Return what a convolution, not grouped and not dilated, makes of maps (B, C, h, w), by one
    matrix product.
    """
    (rows, columns), (down, right) = layer.kernel_size, layer.stride
    edge_y, edge_x = layer.padding if isinstance(layer.padding, tuple) else (0, 0)
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, edge_x, edge_x, edge_y, edge_y))
    height, width = (padded.shape[1] - rows) // down + 1, (padded.shape[2] - columns) // right + 1
    shifted = [
        padded[:, y : y + (height - 1) * down + 1 : down, x : x + (width - 1) * right + 1 : right]
        for y in range(rows)
        for x in range(columns)
    ]
    around = torch.cat(shifted, dim=-1).reshape(-1, rows * columns * maps.shape[1])
    weights = layer.weight.permute(0, 2, 3, 1).reshape(layer.out_channels, -1)
    return (
        F.linear(around, weights, layer.bias).view(len(maps), height, width, -1).permute(0, 3, 1, 2)
    )


def _fits(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return plain and isinstance(layer.padding, tuple) and layer.weight.requires_grad


def _is_quicker(maps: Tensor) -> bool:
    """Say so by what was measured; it is no measurement of its own, so that a run repeats bit by
    bit.
    """
    if maps.device.type != "cpu":
        return False
    autocast = (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    low = autocast or maps.dtype == torch.bfloat16
    return low or maps.shape[2] * maps.shape[3] <= SMALL
