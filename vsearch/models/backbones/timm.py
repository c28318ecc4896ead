from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.downloads import (
    NOT_FETCHED,
    checkpoint_file,
    give_up_when_silent,
    hub_files,
)
from vsearch.models.backbones.inputs import require_whole_patches, side
from vsearch.models.backbones.pretrained import PretrainedBackbone
from vsearch.models.backbones.weights import (
    UNREADABLE,
    Origin,
    Unavailable,
    fetch_elsewhere,
    from_file,
    go_without,
    is_file,
    load,
    unreadable,
)
from vsearch.optional_packages import require


class TimmBackbone(PretrainedBackbone):
    """Any network of timm (PyTorch Image Models) without its classifier, pooled as timm pools it.

    Args:
        name: timm's name, with or without the tag of its weights: `convnextv2_nano`,
            `vit_small_patch16_224.dino`; `timm.list_models()` lists them all.
        weights: `DEFAULT` for timm's own (those of the tag), a local state_dict file (`.pth`, `.pt`
            or `.safetensors`, in timm's layout, with or without the classifier), or null for random
            weights.
        freeze: stages that are not trained, by their names in timm (an error lists them), or `all`.
            Random weights are never frozen; the attribute lists the frozen stages.
        image_size: side in pixels of the square the network sees; null takes the size the weights
            were trained for. Position embeddings are interpolated.
        weights_unavailable: what to do when timm's weights can't be downloaded: `error`, or
            `scratch` for random weights and a warning.

    Raises:
        ImportError: timm isn't installed.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = "DEFAULT",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
        weights_unavailable: Unavailable = "error",
    ) -> None:
        super().__init__()
        timm = require("timm", "timm")
        _check_name(timm, name)
        self.model, (self.origin, self.wanted) = _initial(timm, name, weights, weights_unavailable)
        data = timm.data.resolve_model_data_config(self.model)
        size = side(image_size, data["input_size"][-1])
        _resize(self.model, name, size, data["input_size"][-1])
        self.preprocessing = Preprocessing(size, data["mean"], data["std"], data["interpolation"])
        self._complete(name, freeze, weights_unavailable)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        return self.model(photos)

    def feature_map(self, photos: Tensor) -> Tensor | None:
        """Return the map that timm pools, float (B, C, h, w); None for tokens and other widths."""
        forward: Any = self.model.forward_features
        found = forward(photos)
        return found if found.ndim == 4 and found.shape[1] == self.dim else None


def _check_name(timm: Any, name: str) -> None:
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}; see timm.list_models().")
    tags = timm.models.get_arch_pretrained_cfgs(name)
    if "." in name and name not in tags:
        raise ValueError(f"timm has no weights {name!r}, only {', '.join(tags)}.")


def _initial(
    timm: Any, name: str, weights: str | None, unavailable: Unavailable
) -> tuple[nn.Module, Origin]:
    """Return the network without its classifier, and where its weights come from."""
    if weights == "DEFAULT":
        return _pretrained(timm, name, unavailable)
    model = timm.create_model(name, num_classes=0)
    if weights is None:
        return model, Origin("random")
    if not is_file(weights):
        raise ValueError(
            f"weights: {weights!r} is neither DEFAULT, nor a .pth, .pt or .safetensors file, nor "
            "null."
        )
    state, origin = from_file(weights)
    classifiers = model.pretrained_cfg.get("classifier") or ()
    names = (classifiers,) if isinstance(classifiers, str) else classifiers
    load(model, state, origin.name, name, tuple(f"{classifier}." for classifier in names))
    return model, origin


def _pretrained(timm: Any, name: str, unavailable: Unavailable) -> tuple[nn.Module, Origin]:
    if not timm.is_model_pretrained(name):
        raise ValueError(
            f"weights: timm has no weights for {name}. Name a file, or null for random weights."
        )
    entry = timm.get_pretrained_cfg(name)
    wanted = f"timm {entry.architecture}.{entry.tag}"
    try:
        with give_up_when_silent():
            return timm.create_model(name, pretrained=True, num_classes=0), Origin(wanted)
    except NOT_FETCHED + UNREADABLE as error:
        if not isinstance(error, OSError) and (files := _cached(entry)):
            raise unreadable(wanted, error, files) from error
        remedy = fetch_elsewhere(entry.hf_hub_id, entry.url)
        origin = go_without(wanted, error, remedy, unavailable)
        return timm.create_model(name, num_classes=0), origin


def _cached(entry: Any) -> list[Path]:
    """Return the weight files that are on this machine."""
    if entry.hf_hub_id:
        return hub_files(entry.hf_hub_id)
    return [file for file in [checkpoint_file(entry.url)] if file.is_file()]


def _resize(model: Any, name: str, size: int, own: int) -> None:
    """Make the network take photos of `size` pixels, where the size is built in."""
    patches = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patches is not None:
        require_whole_patches(name, size, patches[0] if isinstance(patches, tuple) else patches)
    if size == own:
        return
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(size, size))
    elif model.pretrained_cfg.get("fixed_input_size"):
        raise ValueError(f"image_size: {name} takes photos of {own} pixels only, not {size}.")
