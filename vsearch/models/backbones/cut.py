from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from vsearch.models.backbones.base import Backbone
from vsearch.models.freezing import find

ALIKE = 1e-4  # largest rounding difference, as a share of the largest feature


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its layers: `rest(trunk(photos))` equals `forward(photos)`.

    Attributes:
        names: the layers of the trunk, input first.
        trunk: normalised photos, float (B, 3, S, S), to maps, float (B, C, h, w), or features (B,
            C); no part of it is ever trained.
        rest: a map to features, float (B, dim).
    """

    names: tuple[str, ...]
    trunk: nn.Sequential
    rest: nn.Sequential


def cut(backbone: Backbone) -> Cut | None:
    """Cut a network after its permanently frozen first layers.

    The layers in `backbone.model` must be a chain, one after the other (ResNet, RegNet,
    EfficientNet, ConvNeXt). A trial checks that both parts together give the whole's result.

    Returns:
        None if the first layer is trained, or the network isn't a chain.
    """
    model = getattr(backbone, "model", None)
    frozen = getattr(backbone, "freeze", [])
    if not isinstance(model, nn.Module) or not frozen:
        return None

    still: set[nn.Parameter] = set()
    for one in find(model, frozen):
        still.update([one] if isinstance(one, nn.Parameter) else one.parameters())
    chain = _chain(model)
    held = 0
    for layer in chain.values():
        if isinstance(layer, _DropoutNd) or not still.issuperset(layer.parameters()):
            break
        held += 1

    layers = [*chain.values()]
    trunk = nn.Sequential(*layers[:held])
    if not any(True for _ in trunk.parameters()):
        return None
    rest = nn.Sequential(*layers[held:], nn.Flatten(1))
    found = Cut(tuple(chain)[:held], trunk, rest)
    return found if _agrees(found, backbone) else None


def _agrees(found: Cut, backbone: Backbone) -> bool:
    """Return whether the two parts give the same features as the whole network."""
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
    except Exception:  # not a chain: a network may raise anything
        return False
    finally:
        for module, mode in modes:
            module.training = mode
    return whole.shape == parts.shape and bool(
        (whole - parts).abs().max() <= ALIKE * whole.abs().max()
    )


def _chain(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers by name, in the order of declaration; a Sequential's one by one."""
    layers: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        inner = dict(child.named_children()) if type(child) is nn.Sequential else {}
        for number, layer in inner.items():
            layers[f"{name}.{number}"] = layer
        if not inner:
            layers[name] = child
    return layers
