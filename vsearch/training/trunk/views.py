import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.cut import Cut
from vsearch.training.dataset import augmented

FORMAT = 2  # of the files on disk; each number has its own folder
PLAIN = -1  # the photo without augmentation, instead of a view's number


def trunk_key(cut: Cut, preprocessing: Preprocessing, precision: str) -> str:
    """Return 64 hexadecimal digits that identify everything that affects the trunk's output.

    `precision` is the trunk's precision, by the trainer's name.
    """
    plain = replace(preprocessing, views=(), index_views=None)  # maps are of plain photos
    known = [FORMAT, list(cut.names), str(cut.trunk), plain.to_json(), precision]
    found = hashlib.sha256(json.dumps(known).encode())
    for name, value in cut.trunk.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def view_keys(content_hash: str, views: Sequence[int], augmentation: str, seed: int) -> list[bytes]:
    """Return a key for each view of a photo.

    Args:
        content_hash: hash of the photo's pixels.
        views: their numbers, from 0, or PLAIN.
        augmentation: `description` of the augmentation.
        seed: decides the views, together with photo and number.
    """
    drawn = f"{content_hash} {augmentation} {seed}"
    told = (content_hash if view == PLAIN else f"{drawn} {view}" for view in views)
    return [hashlib.sha256(text.encode()).hexdigest()[:32].encode() for text in told]


def make_view(square: Tensor, view: int, key: bytes, augment: nn.Module | None) -> Tensor:
    """Return the view of a plain square, uint8 (3, S, S), that `key` determines.

    Like `augmented`, it isn't thread-safe.
    """
    return augmented(square, augment, None if view == PLAIN else int(key[:15], 16))


def description(augment: nn.Module) -> str:
    """Return a line with the class and settings of each part of an augmentation."""
    return "; ".join(f"{type(part).__qualname__} {_settings(part)}" for part in augment.modules())


def _settings(part: nn.Module) -> str:
    shown = {
        name: repr(value)
        for name, value in sorted(vars(part).items())
        if not name.startswith("_") and name != "training"
    }
    return json.dumps(shown)
