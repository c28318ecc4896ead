from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vsearch.models.normalising import to_unit_length
from vsearch.models.runtimes.folding import NO_TRACING
from vsearch.models.text.encoder import TextEncoder
from vsearch.models.text.tokenizer import Tokenizer
from vsearch.optional_packages import require

# An image tower, which is thrown away.
SIGHTLESS = {"image_size": 8, "layers": 1, "width": 64, "patch_size": 8}


class TextTower(nn.Module, ABC):
    """A network from token ids (B, length) to features (B, dim) in the image tower's space.

    It keeps its constructor arguments as attributes, so that a bundle can build it again.
    """

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Return unit vectors, float (B, dim), of token ids, int64 (B, length)."""


@dataclass(frozen=True)
class Words(TextEncoder):
    """A text tower in PyTorch, with its tokenizer.

    A backbone holds it without being its parent, as modules hold their parts. So the tower isn't
    trained, and isn't in checkpoints.
    """

    tower: TextTower
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        self.tower.eval().requires_grad_(False)

    def embed_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of token ids, int64 (n, length)."""
        device = next(self.tower.parameters()).device
        with NO_TRACING, torch.inference_mode():
            return self.tower(torch.from_numpy(tokens).to(device)).cpu().numpy()


class OpenCLIPText(TextTower):
    """open_clip's text tower with random weights.

    Args:
        dim: length of its features.
        config: `text_cfg` of open_clip's model.
        quick_gelu: whether it has OpenAI's activation.
    """

    def __init__(self, dim: int, config: dict[str, Any], quick_gelu: bool) -> None:
        super().__init__()
        self.dim = dim
        self.config = config
        self.quick_gelu = quick_gelu
        library = require("open_clip", "open-clip")
        self.model = library.CustomTextCLIP(dim, SIGHTLESS, config, quick_gelu=quick_gelu).text

    def forward(self, tokens: Tensor) -> Tensor:
        """Return unit vectors, float (B, dim), of token ids, int64 (B, length)."""
        features = self.model(tokens)
        # CoCa's tower also returns its tokens.
        return to_unit_length(features[0] if isinstance(features, tuple) else features)


class TransformersText(TextTower):
    """The text tower of CLIP or SigLIP in transformers, with random weights.

    Args:
        family: `CLIP` or `Siglip`, as its class is named.
        config: `text_config` of the model.
        projection: length of CLIP's features; None: SigLIP, which has no layer for it.
    """

    def __init__(self, family: str, config: dict[str, Any], projection: int | None = None) -> None:
        super().__init__()
        self.family = family
        self.config = config
        self.projection = projection
        library = require("transformers", "transformers")
        settings = getattr(library, f"{family}TextConfig")(**config)
        self.text_model = getattr(library, f"{family}TextModel")(settings)
        self.text_projection: nn.Module = nn.Identity()
        if projection is not None:
            self.text_projection = nn.Linear(settings.hidden_size, projection, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return unit vectors, float (B, dim), of token ids, int64 (B, length)."""
        # no mask: CLIP doesn't look at the padding, and SigLIP was trained to
        return to_unit_length(self.text_projection(self.text_model(tokens).pooler_output))
