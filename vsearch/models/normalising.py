import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing


def normalise(squares: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return uint8 (..., 3, S, S) as float32: `(value / 255 - mean) / std` per colour.

    Raises:
        ValueError: the values are not uint8, for instance because they are normalised already.
    """
    if squares.dtype != torch.uint8:
        raise ValueError(
            f"normalise takes uint8 values 0..255, got {squares.dtype}: is it already normalised?"
        )
    mean = torch.tensor(preprocessing.mean, device=squares.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=squares.device).view(3, 1, 1)
    return (squares.to(torch.float32) / 255 - mean) / std


def to_unit_length(values: Tensor) -> Tensor:
    """Return vectors, float32 (B, dim), L2-normalised."""
    # bfloat16 is too coarse for unit length; random EfficientNets give values of 1e-13, below the
    # usual eps
    return nn.functional.normalize(values.float(), dim=1, eps=1e-30)
