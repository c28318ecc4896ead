from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from vsearch.models.backbones.base import Backbone
from vsearch.models.freezing import find

ALIKE = 1e-4  # largest difference, as a share of the largest feature, that rounding may make


@dataclass(frozen=True)
class Cut:
    """A network in two parts: `rest(trunk(photos))` is what its `forward` returns. Both share its
    layers.

    Attributes:
        names: the layers of the trunk, input first.
        trunk: normalised photos, float (B, 3, S, S), to a map, float (B, C, h, w), or features (B,
            C): nothing in it is ever trained.
        rest: a map to features, float (B, dim).
    """

    names: tuple[str, ...]
    trunk: nn.Sequential
    rest: nn.Sequential


def cut(backbone: Backbone) -> Cut | None:
    """Cut a network after the last of the layers at its beginning that are frozen for good.

    Works for networks in `backbone.model` whose layers are a chain, one after the other (ResNet,
    RegNet, EfficientNet, ConvNeXt); that the two parts make what the whole makes is tried.

    Returns:
        None where the first layer is trained, or the network is no chain.
    """
    model, frozen = getattr(backbone, "model", None), getattr(backbone, "freeze", [])
    if not isinstance(model, nn.Module) or not frozen:
        return None
    still = {id(parameter) for part in find(model, frozen) for parameter in _parameters(part)}
    layers = _chain(model)
    held = 0
    for _, layer in layers:
        if isinstance(layer, _DropoutNd) or any(
            id(parameter) not in still for parameter in layer.parameters()
        ):
            break
        held += 1
    parts = [layer for _, layer in layers]
    trunk, rest = nn.Sequential(*parts[:held]), nn.Sequential(*parts[held:], nn.Flatten(1))
    if not any(True for _ in trunk.parameters()):
        return None
    found = Cut(tuple(name for name, _ in layers[:held]), trunk, rest)
    return found if _agrees(found, backbone) else None


def _agrees(found: Cut, backbone: Backbone) -> bool:
    """Say whether the two parts make of photos what the whole network does."""
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    weights, side = next(backbone.parameters()), backbone.preprocessing.size
    photos = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(
        weights.device, weights.dtype
    )
    try:
        with torch.inference_mode():
            whole = backbone(photos)
            parts = found.rest(found.trunk(photos))
    except Exception:  # no chain: a network may say so in any way
        return False
    finally:
        for module, mode in modes:
            module.training = mode
    return whole.shape == parts.shape and bool(
        (whole - parts).abs().max() <= ALIKE * whole.abs().max()
    )


def _chain(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers in the order of their declaration; what stands in a Sequential stands for
    itself.
    """
    layers: list[tuple[str, nn.Module]] = []
    for name, child in model.named_children():
        inner = list(child.named_children()) if type(child) is nn.Sequential else []
        layers += [(f"{name}.{number}", layer) for number, layer in inner] or [(name, child)]
    return layers


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())
