import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.downloads import NOT_FETCHED, give_up_when_silent
from vsearch.models.backbones.inputs import require_whole_patches, side
from vsearch.models.backbones.pretrained import PretrainedBackbone
from vsearch.models.backbones.restored import is_restoring
from vsearch.models.backbones.weights import (
    Origin,
    Unavailable,
    fetch_elsewhere,
    from_file,
    go_without,
    is_file,
    load,
    read,
)
from vsearch.models.text.library_tokenizers import of_open_clip, reading_tokenizer
from vsearch.models.text.towers import OpenCLIPText, Words
from vsearch.optional_packages import require

# A text tower, which is thrown away.
WORDLESS = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
POSITIONS = "positional_embedding"


class OpenCLIPBackbone(PretrainedBackbone):
    """The image tower of an open_clip model: CLIP, SigLIP, EVA, MobileCLIP, ...

    Args:
        name: open_clip's name of the architecture, such as `ViT-B-32`; `open_clip.list_models()`
            lists them all.
        weights: open_clip's tag, such as `laion2b_s34b_b79k`, a local state_dict file of the model
            or of its image tower alone (`.pth`, `.pt` or `.safetensors`, in open_clip's layout), or
            null for random weights.
        freeze: stages of the image tower that are not trained (an error lists them), or `all`.
            Random weights are never frozen; the attribute lists the frozen stages.
        image_size: side in pixels of the square the network sees; null takes the size the model was
            made for. Position embeddings are interpolated.
        weights_unavailable: what to do when the weights can't be downloaded: `error`, or `scratch`
            for random weights and a warning.
        text: also keep the text tower, frozen, so that people can search with words. It takes as
            much space as the image tower, and more the image tower is trained, the less it fits.

    Raises:
        ImportError: open_clip isn't installed.
    """

    def __init__(
        self,
        name: str = "ViT-B-32",
        weights: str | None = "laion2b_s34b_b79k",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
        weights_unavailable: Unavailable = "error",
        text: bool = False,
    ) -> None:
        super().__init__()
        library = require("open_clip", "open-clip")
        config = library.get_model_config(name) if name in library.list_models() else None
        if config is None:
            raise ValueError(f"open_clip has no model {name!r}; see open_clip.list_models().")
        size = side(image_size, config["vision_cfg"].get("image_size", 224))
        state, origin = _initial_weights(library, name, weights, weights_unavailable)
        self.origin, self.wanted = origin
        tower = _tower(library, name, config, size)
        if state is not None:
            load(tower, _interpolated(tower, _image_part(state)), self.origin, name)
        if hasattr(tower, "set_input_size"):  # timm's
            tower.set_input_size(size)
        self.model = tower
        self.preprocessing = _preprocessing(library, name, weights, size)
        self._complete(name, freeze, weights_unavailable)
        self.text = text
        if text and not is_restoring():
            self.words = _words(library, name, config, state, self.origin)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        features = self.model(photos)
        # CoCa's tower also returns its tokens.
        return features[0] if isinstance(features, tuple) else features


def _initial_weights(
    library: Any, name: str, weights: str | None, unavailable: Unavailable
) -> tuple[dict[str, Any] | None, Origin]:
    """Return a state_dict, None for random weights, and where it comes from."""
    if weights is None:
        return None, Origin("random")
    if is_file(weights):
        return from_file(weights)
    entry = library.get_pretrained_cfg(name, weights)
    if not entry:
        tags = ", ".join(library.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(
            f"weights: {weights!r} is neither a .pth, .pt or .safetensors file nor a tag of "
            f"{name}. Tags: {tags}."
        )
    plain = name.removesuffix("-quickgelu")
    other = f"{name}-quickgelu" if name == plain else plain
    if bool(entry.get("quick_gelu")) == (name == plain):
        raise ValueError(
            f"name: the weights {weights} belong to {other}, with another activation, not to "
            f"{name}."
        )
    wanted = f"open_clip {name} {weights}"
    try:
        with give_up_when_silent():
            path = Path(library.download_pretrained(entry))
    except NOT_FETCHED as error:
        remedy = fetch_elsewhere(entry.get("hf_hub"), entry.get("url"))
        return None, go_without(wanted, error, remedy, unavailable)
    return read(path), Origin(wanted)


def _tower(library: Any, name: str, config: dict[str, Any], size: int) -> Any:
    """Return the image tower with random weights."""
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    if "timm_model_name" not in vision:
        vision["image_size"] = size
        if isinstance(vision.get("layers", 12), int):
            require_whole_patches(name, size, vision.get("patch_size", 16))
    model = library.CustomTextCLIP(
        config["embed_dim"], vision, WORDLESS, quick_gelu=config.get("quick_gelu", False)
    )
    return model.visual


def _image_part(state: dict[str, Any]) -> dict[str, Any]:
    """Return the image tower's tensors from those of a whole model."""
    return _part(state, "visual.") or state


def _part(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _words(
    library: Any, name: str, config: dict[str, Any], state: dict[str, Any] | None, origin: str
) -> Words:
    """Return the text tower with its weights from those of a whole model, and its tokenizer."""
    settings = config["text_cfg"]
    if "hf_model_name" in settings:
        raise ValueError(
            f"text: the text tower of {name} is another library's ({settings['hf_model_name']}), "
            "which isn't supported. Choose a model without `hf_model_name` in its configuration."
        )
    tower = OpenCLIPText(config["embed_dim"], settings, config.get("quick_gelu", False))
    if state is not None:
        whole = library.model.convert_to_custom_text_state_dict(state)
        load(tower.model, _part(whole, "text."), origin, f"the text tower of {name}")
    with reading_tokenizer(name):
        tokenizer = library.get_tokenizer(name)
    return Words(tower, of_open_clip(tokenizer))


def _interpolated(tower: nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with position embeddings for the tower's grid, as open_clip makes them.

    They are (1 + rows * columns, width), class token first.
    """
    old = state.get(POSITIONS)
    grid = getattr(tower, "grid_size", None)
    if old is None or grid is None or len(old) == 1 + math.prod(grid):
        return state
    side = math.isqrt(len(old) - 1)
    places = old[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    places = nn.functional.interpolate(
        places, grid, mode="bicubic", antialias=True, align_corners=False
    )
    return {**state, POSITIONS: torch.cat([old[:1], places.flatten(2)[0].T])}


def _preprocessing(library: Any, name: str, weights: str | None, size: int) -> Preprocessing:
    """Return the tag's preprocessing, else that of the architecture's first tag, else CLIP's."""
    entry = library.get_pretrained_cfg(name, weights or "")
    if not entry:
        first = next(iter(library.list_pretrained_tags_by_model(name)), "")
        entry = library.get_pretrained_cfg(name, first)
    mean = entry.get("mean") or library.OPENAI_DATASET_MEAN
    std = entry.get("std") or library.OPENAI_DATASET_STD
    return Preprocessing(size, mean, std, entry.get("interpolation") or "bicubic")
