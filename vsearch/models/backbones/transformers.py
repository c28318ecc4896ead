import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.downloads import hub_files
from vsearch.models.backbones.inputs import require_whole_patches, side
from vsearch.models.backbones.pretrained import PretrainedBackbone
from vsearch.models.backbones.weights import (
    UNREADABLE,
    Origin,
    Unavailable,
    go_without,
    unreadable,
)
from vsearch.optional_packages import require

INTERPOLATION = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
IMAGENET = {
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
    "resample": 2,
}


class TransformersBackbone(PretrainedBackbone):
    """An image network of Hugging Face transformers: DINOv2, ViT, or the image tower of CLIP,
    SigLIP and similar models.

    The features are the network's pooled output, or its class token if it doesn't pool.

    Args:
        name: a model on the Hub, such as `facebook/dinov2-small`, or a local folder as
            `save_pretrained` writes it.
        weights: `DEFAULT` for those of `name`, or null for random ones.
        freeze: stages that are not trained, by their names in transformers (an error lists them),
            or `all`. Random weights are never frozen; the attribute lists the frozen stages.
        image_size: side in pixels of the square the network sees, a multiple of its patch size;
            null takes the model's size. Position embeddings are interpolated.
        weights_unavailable: what to do when the weights can't be downloaded: `error`, or `scratch`
            for random weights and a warning. `scratch` needs `config`, because the architecture
            can't be downloaded either.
        config: the network's configuration; null reads it from `name`. A bundle stores it, so it
            doesn't need the Hub.

    Raises:
        ImportError: transformers isn't installed.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = "DEFAULT",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
        weights_unavailable: Unavailable = "error",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        library = require("transformers", "transformers")
        if weights not in ("DEFAULT", None):
            raise ValueError(
                f"weights: {weights!r} is neither DEFAULT nor null. Name the weights' folder in "
                "`name`."
            )
        settings = _settings(library, name, config)
        self.model, recipe, origin = _initial(library, name, settings, weights, weights_unavailable)
        self.origin, self.wanted = origin
        size = side(image_size, _size(recipe) or settings.image_size)
        if isinstance(getattr(settings, "patch_size", None), int):
            require_whole_patches(name, size, settings.patch_size)
        self.preprocessing = Preprocessing(
            size, recipe["image_mean"], recipe["image_std"], INTERPOLATION[recipe["resample"]]
        )
        self.config = _plain(settings)
        self.options = {}
        if "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters:
            self.options["interpolate_pos_encoding"] = True
        self._complete(name, freeze, weights_unavailable)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        output = self.model(pixel_values=photos, **self.options)
        pooled = getattr(output, "pooler_output", None)
        return output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


def _settings(library: Any, name: str, config: dict[str, Any] | None) -> Any:
    """Return the configuration of the network, or of the image tower if it has several."""
    try:
        whole = (
            library.AutoConfig.from_pretrained(name, trust_remote_code=False)
            if config is None
            else library.AutoConfig.for_model(**config)
        )
    except OSError as error:
        raise FileNotFoundError(
            f"name: the architecture of {name} can't be read ({str(error).splitlines()[0]}). Fetch "
            "the model's folder on another machine, and name that folder."
        ) from error
    return getattr(whole, "vision_config", whole)


def _initial(
    library: Any, name: str, settings: Any, weights: str | None, unavailable: Unavailable
) -> tuple[nn.Module, dict[str, Any], Origin]:
    """Return the network, its preprocessing settings, and where its weights come from."""
    origin = Origin("random")
    if weights == "DEFAULT":
        try:
            recipe = _recipe(library, name)
            return _trained(library, name, settings), recipe, Origin(f"transformers {name}")
        except (OSError, *UNREADABLE) as error:
            origin = _without(name, error, unavailable)
    known = Path(name, "preprocessor_config.json").is_file()
    recipe = _recipe(library, name) if known else IMAGENET
    return _network(library, name, settings), recipe, origin


def _without(name: str, error: Exception, unavailable: Unavailable) -> Origin:
    """Return the origin of random weights, if allowed, after an error of transformers."""
    wanted = f"transformers {name}"
    if not isinstance(error, OSError) and (files := hub_files(name)):
        raise unreadable(wanted, error, files) from error
    if Path(name).is_dir():
        why = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"name: {name} lacks weights or preprocessor_config.json ({why})."
        ) from error
    remedy = "Fetch the model's folder on another machine, and set `name` to it."
    return go_without(wanted, error, remedy, unavailable)


def _network(library: Any, name: str, settings: Any) -> nn.Module:
    """Return the network with random weights."""
    try:
        model = library.AutoModel.from_config(settings, trust_remote_code=False)
    except ValueError as error:
        raise ValueError(f"name: {name} can't be built: {str(error).splitlines()[0]}") from error
    if model.main_input_name != "pixel_values":
        raise ValueError(f"name: {name} isn't an image network: it takes {model.main_input_name}.")
    return model.float()


def _trained(library: Any, name: str, settings: Any) -> nn.Module:
    verbosity = library.logging.get_verbosity()
    # Otherwise it lists each tensor of the text tower, which isn't used.
    library.logging.set_verbosity_error()
    try:
        model, found = library.AutoModel.from_pretrained(
            name,
            config=settings,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
    finally:
        library.logging.set_verbosity(verbosity)
    lost = sorted(found["missing_keys"])
    if lost:
        raise ValueError(f"weights: {name} lacks {len(lost)} tensors, such as {lost[:3]}.")
    return model


def _recipe(library: Any, name: str) -> dict[str, Any]:
    """Return the settings of the image processor that belongs to the model."""
    recipe, _ = library.BaseImageProcessor.get_image_processor_dict(name)
    if not recipe.get("do_normalize", True):
        recipe |= {"image_mean": (0, 0, 0), "image_std": (1, 1, 1)}
    lost = [key for key in IMAGENET if key not in recipe]
    if lost or recipe["resample"] not in INTERPOLATION:
        raise ValueError(
            f"name: preprocessor_config.json of {name} lacks {lost}, or its resample isn't 2 or 3."
        )
    return recipe


def _size(recipe: dict[str, Any]) -> int | None:
    """Return the side in pixels to which the image processor crops or resizes."""
    size = recipe.get("crop_size") or recipe.get("size")
    if isinstance(size, dict):
        return size.get("height") or size.get("shortest_edge")
    return size


def _plain(settings: Any) -> dict[str, Any]:
    """Return the whole configuration, without its source, as JSON values."""
    values = json.loads(settings.to_json_string(use_diff=False))
    for key in ("_name_or_path", "transformers_version"):
        values.pop(key, None)
    return values
