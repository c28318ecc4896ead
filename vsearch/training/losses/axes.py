from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from vsearch.class_paths import find
from vsearch.errors import ConfigError
from vsearch.training.checks.component_errors import REFUSALS, refusal


def normalised_softmax() -> dict[str, Any]:
    """Return the default loss of an axis, as in configs/recommended.yaml."""
    class_path = "pytorch_metric_learning.losses.NormalizedSoftmaxLoss"
    return {"class_path": class_path, "init_args": {"temperature": 0.1}}


@dataclass(frozen=True)
class AxisLoss:
    """A loss that pulls photos with the same value of a metadata column together.

    Attributes:
        loss: class_path and init_args of a loss, as for the label. `num_classes` and
            `embedding_size` are filled in if it has them.
        weight: factor of its values, above 0; the label's loss has 1.
    """

    loss: dict[str, Any] = field(default_factory=normalised_softmax)
    weight: float = 1.0


class AxisLosses(nn.Module):
    """A loss for each axis; photos without a value are ignored.

    Args:
        settings: by axis.
        codes: codes of each axis's values, int (n_items,), by row of the catalog; -1 for no value.
        embedding_size: length of the embedding.
    """

    def __init__(
        self,
        settings: Mapping[str, AxisLoss],
        codes: Mapping[str, np.ndarray],
        embedding_size: int,
    ) -> None:
        super().__init__()
        self.weights = {axis: _weight(axis, one.weight) for axis, one in settings.items()}
        self.codes = {axis: torch.from_numpy(codes[axis]) for axis in settings}
        self.losses = nn.ModuleList()  # a ModuleDict can't have a column named `type`
        for axis, one in settings.items():
            self.losses.append(_make(key_of(axis), one.loss, self.n_values(axis), embedding_size))

    def n_values(self, axis: str) -> int:
        """Return how many values of an axis its loss separates."""
        return int(self.codes[axis].max()) + 1

    def by_axis(self) -> dict[str, nn.Module]:
        """Return the losses by axis."""
        return dict(zip(self.weights, self.losses, strict=True))

    def forward(self, embeddings: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return each axis's loss, not yet weighted, of unit vectors (B, dim).

        `rows`, int (B,), are rows of the catalog. If no photo has a value, the loss is 0.
        """
        values = {}
        for axis, loss in self.by_axis().items():
            self.codes[axis] = self.codes[axis].to(rows.device)  # copied once
            codes = self.codes[axis][rows]
            known = codes >= 0
            if known.any():
                values[axis] = loss(embeddings[known], codes[known])
            else:  # with several devices, every weight needs a gradient
                values[axis] = sum(0 * one.sum() for one in (embeddings, *loss.parameters()))
        return values


def key_of(axis: str) -> str:
    """Return the key of an axis's loss in a config."""
    return f"model.axis_losses.{axis}.loss"


def _weight(axis: str, weight: float) -> float:
    if not weight > 0:
        raise ConfigError(f"model.axis_losses.{axis}.weight", f"{weight}: set it above 0")
    return weight


def _make(key: str, spec: Mapping[str, Any], num_classes: int, embedding_size: int) -> nn.Module:
    if "class_path" not in spec:
        raise ConfigError(key, "a loss needs its class_path")
    kind = find(spec["class_path"], nn.Module)
    takes = ArgumentParser().add_class_arguments(kind, fail_untyped=False)
    arguments = dict(spec.get("init_args") or {})
    for name, size in (("num_classes", num_classes), ("embedding_size", embedding_size)):
        if name in takes:
            arguments[name] = size
    try:
        return kind(**arguments)
    except REFUSALS as error:
        raise refusal(key, kind, error) from error
