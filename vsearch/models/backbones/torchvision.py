import inspect
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import GoogLeNet, Inception3, MaxVit, MNASNet, VisionTransformer
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vision_transformer import interpolate_embeddings

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.downloads import NOT_FETCHED, checkpoint_file, fetch
from vsearch.models.backbones.inputs import require_whole_patches, side
from vsearch.models.backbones.pretrained import PretrainedBackbone
from vsearch.models.backbones.weights import (
    Origin,
    Unavailable,
    from_file,
    go_without,
    is_file,
    load,
    read,
)

# DenseNet's weights have a dot that its names no longer have.
DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")
# Auxiliary classifiers of GoogLeNet and Inception, for training from scratch.
SIDE_CLASSIFIERS = ("aux1.", "aux2.", "AuxLogits.")


class TorchvisionBackbone(PretrainedBackbone):
    """A classification network of torchvision without its classifier.

    Args:
        name: a builder of `torchvision.models`, such as `resnet50`.
        weights: the name of torchvision's weights (`IMAGENET1K_V2`, `DEFAULT`), a local state_dict
            file (`.pth`, `.pt` or `.safetensors`, in torchvision's layout, with or without the
            classifier), or null for random weights.
        freeze: stages that are not trained, by their names in torchvision (`conv1`, `bn1`,
            `layer1`, ...), or `all`. Random weights are never frozen: a random stage that can't
            learn loses information. The attribute lists the frozen stages.
        image_size: side in pixels of the square the network sees; null takes the size the weights
            were trained for. Vision transformers take multiples of their patch size, and their
            position embeddings are interpolated.
        weights_unavailable: what to do when named weights can't be downloaded: `error`, or
            `scratch` for random weights and a warning.
        pool: replaces the average over all positions, `(B, C, H, W)` to `(B, C, 1, 1)`, in networks
            that have one.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = "DEFAULT",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
        weights_unavailable: Unavailable = "error",
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ValueError(
                f"torchvision has no classification model {name!r}; see "
                "torchvision.models.list_models()."
            )
        self.preprocessing = _preprocessing(name, weights, image_size)
        self.model = _build(name, self.preprocessing.size)
        state, (self.origin, self.wanted) = _initial_weights(name, weights, weights_unavailable)
        if state is None:
            _start_residual_blocks_as_identity(self.model)
        self.removed = _remove_classifier(self.model)
        if state is not None:
            ignored = (f"{self.removed[0]}.", *SIDE_CLASSIFIERS)
            load(self.model, _suited(self.model, state), self.origin, name, ignored)
        if pool is not None:
            _replace_average(self.model, name, pool)
        # `spec` needs it; its weights are only in `model`.
        object.__setattr__(self, "pool", pool)
        # Convolutions are fastest in this layout, on CPU and GPU.
        self.model.to(memory_format=torch.channels_last)
        self._complete(name, freeze, weights_unavailable)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        return self.model(photos.contiguous(memory_format=torch.channels_last))

    def feature_map(self, photos: Tensor) -> Tensor | None:
        """Return the input of the average over all positions, float (B, C, h, w), or None."""
        average = getattr(self.model, "avgpool", None)
        if not _is_average(average):
            return None
        values = photos.contiguous(memory_format=torch.channels_last)
        for layer in self.model.children():  # in order of use, in networks with `avgpool`
            if layer is average:
                break
            values = layer(values)
        return values


def _preprocessing(name: str, weights: str | None, image_size: int | None) -> Preprocessing:
    entries = torchvision.models.get_model_weights(name)
    entry = entries[weights] if weights in entries.__members__ else entries.DEFAULT
    recipe = entry.transforms()
    size = side(image_size, recipe.crop_size[0])
    return Preprocessing(size, tuple(recipe.mean), tuple(recipe.std), recipe.interpolation.value)


def _build(name: str, image_size: int) -> nn.Module:
    """Return the network with random weights, for photos of this size if the size is built in."""
    builder = torchvision.models.get_model_builder(name)
    kind = inspect.signature(builder).return_annotation
    arguments: dict[str, Any] = {}
    if kind is VisionTransformer:
        with torch.device("meta"):  # takes no memory
            patch = builder().patch_size
        require_whole_patches(name, image_size, patch)
        arguments = {"image_size": image_size}
    elif kind is MaxVit:
        arguments = {"input_size": (image_size, image_size)}
    elif kind in (GoogLeNet, Inception3):
        # As with weights.
        arguments = {"aux_logits": False, "init_weights": True, "transform_input": True}
    model = builder(**arguments)
    if isinstance(model, MNASNet):
        # It refuses a state_dict without its version, which a bundle's file can't hold.
        model._load_from_state_dict = partial(nn.Module._load_from_state_dict, model)
    return model


def _initial_weights(
    name: str, weights: str | None, unavailable: Unavailable
) -> tuple[Mapping[str, Any] | None, Origin]:
    """Return a state_dict, None for random weights, and where it comes from."""
    if weights is None:
        return None, Origin("random")
    if is_file(weights):
        return from_file(weights)
    entries = torchvision.models.get_model_weights(name)
    choices = [entry.name for entry in entries]
    if weights not in entries.__members__:
        raise ValueError(
            f"weights: {weights!r} is neither a .pth, .pt or .safetensors file nor a weights name "
            f"of {name}. Names: {', '.join(choices)}, DEFAULT."
        )
    entry = entries[weights]
    try:
        file = fetch(entry.url)
    except NOT_FETCHED as error:
        remedy = f"Put the file at {checkpoint_file(entry.url)}, or name one in `weights`."
        return None, go_without(f"torchvision {entry}", error, remedy, unavailable)
    return read(file), Origin(f"torchvision {entry}")


def _start_residual_blocks_as_identity(model: nn.Module) -> None:
    """Set the last BatchNorm of each residual block to zero, so that blocks start as identity.

    Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1; torchvision's
    `zero_init_residual`.
    """
    for block in model.modules():
        if isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
        elif isinstance(block, BasicBlock):
            nn.init.zeros_(block.bn2.weight)


def _suited(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return weights under current names, with position embeddings for the size of the photos."""
    named = {DENSENET.sub(r"\1", name): value for name, value in state.items()}
    if isinstance(model, VisionTransformer) and "encoder.pos_embedding" in named:
        return interpolate_embeddings(model.image_size, model.patch_size, named)
    return named


def _remove_classifier(model: nn.Module) -> tuple[str, int]:
    """Remove the last Linear, or SqueezeNet's convolution; return its name and parameters."""
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    linear = [name for name, layer in layers if isinstance(layer, nn.Linear)]
    name = linear[-1] if linear else layers[-1][0]
    parameters = sum(parameter.numel() for parameter in model.get_submodule(name).parameters())
    model.set_submodule(name, nn.Identity())
    return name, parameters


def _is_average(layer: object) -> bool:
    return isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1))


def _replace_average(model: nn.Module, name: str, pool: nn.Module) -> None:
    if not _is_average(getattr(model, "avgpool", None)):
        raise ValueError(f"pool: {name} has no average over all positions (`avgpool`) to replace.")
    model.avgpool = pool
