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
from vsearch.models.backbones.restored import is_restoring
from vsearch.models.backbones.weights import (
    UNREADABLE,
    Origin,
    Unavailable,
    go_without,
    unreadable,
)
from vsearch.models.text.library_tokenizers import of_transformers, reading_tokenizer
from vsearch.models.text.towers import TransformersText, Words
from vsearch.optional_packages import require

INTERPOLATION = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
FAMILIES = {"clip": "CLIP", "siglip": "Siglip"}  # whose text tower can be kept
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
        text: also keep the text tower of CLIP or SigLIP, frozen, so that people can search with
            words. CLIP's features are then those of its projection, the space of its texts.

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
        text: bool = False,
    ) -> None:
        super().__init__()
        library = require("transformers", "transformers")
        if weights not in ("DEFAULT", None):
            raise ValueError(
                f"weights: {weights!r} is neither DEFAULT nor null. Name the weights' folder in "
                "`name`."
            )
        whole = _settings(library, name, config)
        settings = getattr(whole, "vision_config", whole)
        if text and whole.model_type not in FAMILIES:
            raise ValueError(
                f"text: {name} is a {whole.model_type} network; only the text towers of CLIP and "
                "SigLIP can be kept."
            )
        wanted = whole if text else settings
        network, recipe, origin = _initial(library, name, wanted, weights, weights_unavailable)
        self.origin, self.wanted = origin
        self.model = network
        if text:
            self.model = _image_tower(network)
            if not is_restoring():
                self.words = _words(library, name, network)
        self.text = text
        size = side(image_size, _size(recipe) or settings.image_size)
        if isinstance(getattr(settings, "patch_size", None), int):
            require_whole_patches(name, size, settings.patch_size)
        self.preprocessing = Preprocessing(
            size, recipe["image_mean"], recipe["image_std"], INTERPOLATION[recipe["resample"]]
        )
        self.config = _plain(wanted)
        self.options = {}
        if "interpolate_pos_encoding" in inspect.signature(self.model.forward).parameters:
            self.options["interpolate_pos_encoding"] = True
        self._complete(name, freeze, weights_unavailable)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        output = self.model(pixel_values=photos, **self.options)
        pooled = getattr(output, "pooler_output", None)
        features = output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)
        projection = getattr(self.model, "visual_projection", None)
        return features if projection is None else projection(features)


def _settings(library: Any, name: str, config: dict[str, Any] | None) -> Any:
    """Return the configuration of the network, of all its towers."""
    try:
        return (
            library.AutoConfig.from_pretrained(name, trust_remote_code=False)
            if config is None
            else library.AutoConfig.for_model(**config)
        )
    except OSError as error:
        raise FileNotFoundError(
            f"name: the architecture of {name} can't be read ({str(error).splitlines()[0]}). Fetch "
            "the model's folder on another machine, and name that folder."
        ) from error


def _image_tower(network: Any) -> nn.Module:
    """Return the image tower of a whole CLIP or SigLIP, with the projection that CLIP has."""
    tower: nn.Module = network.vision_model
    if hasattr(network, "visual_projection"):
        tower.visual_projection = network.visual_projection
    return tower


def _words(library: Any, name: str, network: Any) -> Words:
    """Return the text tower of a whole CLIP or SigLIP, and its tokenizer."""
    settings = network.config.text_config
    projection = getattr(network, "text_projection", None)
    family = FAMILIES[network.config.model_type]
    tower = TransformersText(
        family, _plain(settings), None if projection is None else projection.out_features
    )
    tower.text_model.load_state_dict(network.text_model.state_dict())
    if projection is not None:
        tower.text_projection.load_state_dict(projection.state_dict())
    with reading_tokenizer(name):
        tokenizer = library.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    known = len(tokenizer)
    if not 0.9 * settings.vocab_size <= known <= settings.vocab_size:
        raise ValueError(
            f"text: the tokenizer of {name} knows {known:,} tokens, the text tower "
            f"{settings.vocab_size:,}. Are the tokenizer's files in the folder?"
        )
    return Words(tower, of_transformers(tokenizer, settings.max_position_embeddings))


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
    if model.main_input_name != "pixel_values" and settings.model_type not in FAMILIES:
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
