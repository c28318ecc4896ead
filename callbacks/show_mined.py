from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.run_objects import catalog_data, metric_learner
from callbacks.tensorboard import batch_photos, show_picture, writers
from vsearch.reports.grid import Shown, grid


@dataclass(frozen=True)
class Mined:
    """A triplet or a pair that a miner picked, by positions in the batch."""

    anchor: int
    positive: int | None = None
    negative: int | None = None


class ShowMined(Callback):
    """Show in TensorBoard what the miner picked from the first batch of an epoch, hardest first.

    A row is an anchor, its positive (green) and its negative (red), with the cosines between them.
    A far positive or a near negative is hard. With a pair miner, a row is a pair. With several
    ranks, only triplets and pairs of rank zero's photos are shown.

    Args:
        n: rows.
        every: show them every this many epochs.
    """

    def __init__(self, n: int = 8, every: int = 1) -> None:
        self.n = n
        self.every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the hardest."""
        if batch_idx or trainer.current_epoch % self.every or not writers(trainer.loggers):
            return
        module = metric_learner(pl_module)
        if module.mined is None:
            return
        own = module.embeddings[: len(batch[1])]  # rank zero's come first
        cosines = own @ own.T
        data = catalog_data(trainer)
        rows = []
        for mined in hardest(cosines, among(module.mined, len(own)), self.n):
            anchor = mined.anchor
            (photo,) = batch_photos(batch, [anchor], data)
            row = [Shown(photo, data.label_names[int(batch[1][anchor])], None)]
            for position, right in ((mined.positive, True), (mined.negative, False)):
                if position is not None:
                    (photo,) = batch_photos(batch, [position], data)
                    caption = f"cosine {float(cosines[anchor, position]):.2f}"
                    row.append(Shown(photo, caption, right))
            rows.append(row)
        if rows:
            show_picture(trainer.loggers, "train/mined", grid(rows), trainer.global_step)


def among(mined: tuple[Tensor, ...], n: int) -> tuple[Tensor, ...]:
    """Return the part of `mined`, as in `hardest`, with only the batch's first `n` photos."""
    groups = [mined] if len(mined) == 3 else [mined[:2], mined[2:]]
    kept: list[Tensor] = []
    for group in groups:
        inside = torch.stack(group).amax(dim=0) < n
        kept += [side[inside] for side in group]
    return tuple(kept)


def hardest(cosines: Tensor, mined: tuple[Tensor, ...], n: int) -> list[Mined]:
    """Return up to `n` of a miner's triplets or pairs, hardest first, each anchor once.

    Args:
        cosines: float (B, B).
        mined: anchors, positives and negatives, int (t,) each; or for pairs, anchors and positives,
            anchors and negatives.
        n: for pairs, half of each kind.
    """
    if len(mined) == 3:
        anchors, positives, negatives = mined
        order = torch.argsort(cosines[anchors, positives] - cosines[anchors, negatives])
        columns = [side[order].tolist() for side in mined]
        return _once(map(Mined, *columns), n)

    anchors, positives, other_anchors, negatives = mined
    far = torch.argsort(cosines[anchors, positives])
    near = torch.argsort(cosines[other_anchors, negatives], descending=True)
    rights = map(Mined, anchors[far].tolist(), positives[far].tolist())
    wrongs = (
        Mined(anchor, negative=negative)
        for anchor, negative in zip(
            other_anchors[near].tolist(), negatives[near].tolist(), strict=True
        )
    )
    return _once(rights, n // 2) + _once(wrongs, n - n // 2)


def _once(picked: Iterable[Mined], n: int) -> list[Mined]:
    first: dict[int, Mined] = {}
    for mined in picked:
        first.setdefault(mined.anchor, mined)
    return [*first.values()][:n]
