import torch

from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.restored import known_dim

MIN_SIDE = 8  # pixels


def side(image_size: int | None, own: int) -> int:
    """Return the side of the square that the network sees, in pixels: `own` for None.

    Raises:
        ValueError: it is too small.
    """
    if image_size is not None and image_size < MIN_SIDE:
        raise ValueError(
            f"image_size: {image_size} is too small: set it to {MIN_SIDE} or more, or null for "
            f"{own}."
        )
    return image_size or own


def require_whole_patches(network: str, image_size: int, patch: int) -> None:
    """Check that a photo can be cut into square patches; both sizes in pixels.

    Raises:
        ValueError: the image size isn't a multiple of the patch size.
    """
    if image_size % patch:
        near = max(1, round(image_size / patch)) * patch
        raise ValueError(
            f"image_size: {network} takes multiples of its patch size {patch}, such as {near}, not "
            f"{image_size}."
        )


def measured_dim(backbone: Backbone, network: str, image_size: int) -> int:
    """Return the number of features that the network gives for a black photo.

    The network is in training mode afterwards. A rebuilt network (see `restored`) has been measured
    before.

    Raises:
        ValueError: it can't take photos of this size, or doesn't give one vector for a photo.
    """
    if (known := known_dim()) is not None:
        return known
    backbone.eval()
    try:
        with torch.no_grad():
            features = backbone(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"image_size: {network} can't take photos of {image_size} pixels "
            f"({str(error).splitlines()[0]})."
        ) from error
    backbone.train()
    if features.ndim != 2:
        raise ValueError(
            f"name: {network} turns a photo into shape {tuple(features.shape[1:])}, not into one "
            "vector."
        )
    return features.shape[1]
