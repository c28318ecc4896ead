from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import nn

from vsearch.class_paths import build, describe
from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.restored import restored
from vsearch.models.embedder import Embedder
from vsearch.models.heads.base import Head
from vsearch.models.positions import can_split
from vsearch.models.text.tokenizer import Tokenizer
from vsearch.models.text.towers import TextTower, Words


def restored_embedder(manifest: dict[str, Any], weights: Path) -> Embedder:
    """Return the network that a manifest describes, with its weights, in eval mode, on the CPU.

    Args:
        manifest: includes the values of `described`.
        weights: a file with the bytes of `weights_of`.
    """
    described_head = manifest.get("head")
    # at least two bytes a value
    with restored(None if described_head else manifest["dim"], weights.stat().st_size // 2):
        backbone = build(_without_weights(manifest["backbone"]), Backbone, nn.Module)
        backbone.preprocessing = Preprocessing(**manifest["preprocessing"])
        head = build(described_head, Head, nn.Module) if described_head else None
        embedder = Embedder(backbone, head)
    embedder.load_state_dict(load_file(weights))
    return embedder.eval()


def restored_words(manifest: dict[str, Any], weights: Path, tokenizer: Tokenizer) -> Words:
    """Return the text tower that a manifest describes, with its weights, on the CPU.

    Args:
        manifest: includes the values of `described`.
        weights: a file with the bytes of `weights_of`.
    """
    with restored(None, weights.stat().st_size // 2):
        tower: TextTower = build(manifest["text"]["tower"], TextTower)
    tower.load_state_dict(load_file(weights))
    return Words(tower, tokenizer)


def _without_weights(described: dict[str, Any]) -> dict[str, Any]:
    """Remove named weights: for those of a stranger's manifest, a download would start."""
    arguments = described.get("init_args", {})
    none = dict.fromkeys(arguments.keys() & {"weights"})
    return {**described, "init_args": {**arguments, **none}}


def weights_of(network: nn.Module) -> bytes:
    """Return a network's weights as a safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def described(embedder: Embedder) -> dict[str, Any]:
    """Return how to build a network again, and whether its scores split over positions, as JSON."""
    backbone = embedder.backbone
    words = backbone.words
    text = None
    if words is not None:
        text = {"tower": describe(words.tower), "cleaning": words.tokenizer.cleaning}
    return {
        "backbone": {**backbone.spec(), "origin": backbone.origin},
        "head": None if embedder.head is None else describe(embedder.head),
        "preprocessing": embedder.preprocessing.to_json(),
        "dim": embedder.dim,
        "explains": can_split(embedder),
        **({} if text is None else {"text": text}),
    }
