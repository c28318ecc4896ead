from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsearch import canaries
from vsearch.embedder import Embedder
from vsearch.generations.base import BundleError
from vsearch.service.settings import Precision

ALIKE = 0.999  # cosine with a stored photo's embedding; a few parts in 100,000 are usual
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")


def network(folder: Path, embedder: Embedder, manifest: dict[str, Any], wanted: Precision) -> tuple[Embedder, str]:
    """Return the network that embeds what users send, and how it computes, in words for the log.

    `auto` takes bfloat16 where the CPU has instructions for it, and the stored photos keep their embeddings with it.

    Args:
        folder: the bundle's, whose canaries have been checked.
        embedder: the bundle's, float32.
        manifest: the bundle's.
        wanted: auto, float32 or bfloat16.

    Raises:
        BundleError: bfloat16 is wanted, and the network can't do it or embeds otherwise with it.
    """
    if wanted == "float32" or (wanted == "auto" and not has_bfloat16()):
        return embedder, "float32"
    try:
        made = in_bfloat16(embedder)
        said = _check(folder, made, manifest)
    except Exception as error:  # a plugin's network may do anything
        if wanted == "auto":
            return embedder, f"float32: bfloat16 can't be had ({error})"
        raise BundleError(f"{folder}: precision bfloat16 can't be had: {error}") from error
    return made, f"bfloat16: {said}"


def has_bfloat16() -> bool:
    """Tell whether the CPU has instructions for bfloat16; with an older PyTorch, which can't tell, no."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in INSTRUCTIONS)


def in_bfloat16(embedder: Embedder) -> Embedder:
    """Return a copy that takes float32 photos and returns float32 unit vectors, and computes in bfloat16 between."""
    made = deepcopy(embedder).to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    made.register_forward_pre_hook(_lower)
    return made


def _lower(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].to(dtype=torch.bfloat16, memory_format=torch.channels_last),)


def _check(folder: Path, made: Embedder, manifest: dict[str, Any]) -> str:
    if canaries.FILE not in manifest["sha256"]:
        raise ValueError("the bundle keeps no photos to try it with")
    lowest = min(canaries.compare(folder, made.preprocessing, made).values())
    if not lowest >= ALIKE:  # NaN is bad too
        raise ValueError(
            f"a stored photo's embedding has a cosine of {lowest:.6f} with that of float32; {ALIKE} is needed"
        )
    return f"{lowest:.6f} is the lowest cosine of stored photos' embeddings with those of float32"
