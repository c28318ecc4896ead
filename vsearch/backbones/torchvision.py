import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from vsearch.backbones.base import Backbone
from vsearch.freezing import freeze as freeze_stages
from vsearch.images import Preprocessing


class TorchvisionBackbone(Backbone):
    """A classification network of torchvision without its classifier.

    Args:
        name: a builder of `torchvision.models`, such as `resnet50`.
        weights: the name of torchvision's weights (`IMAGENET1K_V2`, `DEFAULT`), a local state_dict file (`.pth`, `.pt`
            or `.safetensors`, in torchvision's layout, with or without the classifier), or null for random weights.
        freeze: stages that are not trained, by their names in torchvision (`conv1`, `bn1`, `layer1`, ...). Random
            weights are never frozen: a random stage that cannot learn only destroys the photo.
        image_size: side in pixels of the square the network sees; null takes the size the weights were trained for.
        weights_unavailable: what to do when named weights can't be downloaded: `error`, or `scratch` for random weights
            and a warning.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = "DEFAULT",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
        weights_unavailable: Literal["error", "scratch"] = "error",
    ) -> None:
        super().__init__()
        self.name, self.freeze, self.image_size = name, list(freeze), image_size
        self.weights_unavailable = weights_unavailable
        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ValueError(f"torchvision has no classification model {name!r}; see torchvision.models.list_models().")
        self.model = torchvision.models.get_model(name, weights=None)
        state, self.origin = _initial_weights(name, weights, weights_unavailable)
        if state is None:
            _start_residual_blocks_as_identity(self.model)
        else:
            _load(self.model, state, self.origin)
        self.dim = _remove_classifier(self.model)
        self.model.to(memory_format=torch.channels_last)  # the layout that convolutions are fastest in, on CPU and GPU
        self.preprocessing = _preprocessing(name, weights, image_size)
        freeze_stages(self.model, self.freeze)
        if state is None:
            self.model.requires_grad_(True)

    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""
        return self.model(photos.contiguous(memory_format=torch.channels_last))


def _initial_weights(
    name: str, weights: str | None, unavailable: Literal["error", "scratch"]
) -> tuple[Mapping[str, Any] | None, str]:
    if weights is None:
        return None, "random"
    if Path(weights).suffix in {".pth", ".pt", ".safetensors"}:
        return _read(Path(weights)), f"file {Path(weights).name}"
    choices = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights != "DEFAULT" and weights not in choices:
        raise ValueError(
            f"weights: {weights!r} is neither a .pth, .pt or .safetensors file nor a weights name of {name}. "
            f"Names: {', '.join(choices)}, DEFAULT."
        )
    entry = choices[weights] if weights != "DEFAULT" else torchvision.models.get_model_weights(name).DEFAULT
    try:
        return entry.get_state_dict(progress=True, check_hash=True), f"torchvision {entry}"
    except OSError as error:
        target = Path(torch.hub.get_dir(), "checkpoints", Path(entry.url).name)
        where = (
            f"The weights {entry} can't be downloaded ({error}). Put the file at {target}, or name one in `weights`."
        )
        if unavailable == "error":
            raise FileNotFoundError(
                f"{where} `weights_unavailable: scratch` starts from random weights instead."
            ) from error
        warnings.warn(f"{where} Training starts from RANDOM weights with nothing frozen.", stacklevel=4)
        return None, "random"


def _start_residual_blocks_as_identity(model: nn.Module) -> None:
    """Set the last BatchNorm of each residual block to zero, so that a deep random network lets the photo through.

    Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1; torchvision's `zero_init_residual`.
    """
    for block in model.modules():
        if isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
        elif isinstance(block, BasicBlock):
            nn.init.zeros_(block.bn2.weight)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {path}.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _load(model: nn.Module, state: Mapping[str, Any], origin: str) -> None:
    classifier = f"{_classifier(model)}."
    wanted = {key: value.shape for key, value in model.state_dict().items() if not key.startswith(classifier)}
    given = {key: getattr(value, "shape", None) for key, value in state.items() if not key.startswith(classifier)}
    wrong = [key for key in {**wanted, **given} if wanted.get(key) != given.get(key)]
    if wrong:
        raise ValueError(
            f"weights: {origin} does not fit {type(model).__name__}: {len(wrong)} tensors are missing, unknown or of "
            f"another shape, such as {wrong[:3]}. It must be a state_dict of this network in torchvision's layout."
        )
    model.load_state_dict({key: state[key] for key in wanted}, strict=False)


def _classifier(model: nn.Module) -> str:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]


def _remove_classifier(model: nn.Module) -> int:
    name = _classifier(model)
    dim = cast(nn.Linear, model.get_submodule(name)).in_features
    model.set_submodule(name, nn.Identity())
    return dim


def _preprocessing(name: str, weights: str | None, image_size: int | None) -> Preprocessing:
    entries = torchvision.models.get_model_weights(name)
    entry = entries[weights] if weights in entries.__members__ else entries.DEFAULT
    recipe = entry.transforms()
    size = image_size or recipe.crop_size[0]
    return Preprocessing(size, tuple(recipe.mean), tuple(recipe.std), recipe.interpolation.value)
