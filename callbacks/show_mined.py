from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.tensorboard import batch_photos, show_picture, writers
from vsearch.reports.grid import Shown, grid
from vsearch.training.module import MetricLearner


class ShowMined(Callback):
    """Show in TensorBoard what the miner picked from the first batch of an epoch, hardest first.

    A row is an anchor, its positive (green) and its negative (red), with the cosines between: hard
    is a far positive or a near negative. Of a miner of pairs, a row is a pair. Nothing is shown
    where there is no miner. Of several ranks' joint batch, only what is of rank zero's photos alone
    is shown.

    Args:
        n: rows.
        every: epochs from one to the next that is shown.
    """

    def __init__(self, n: int = 8, every: int = 1) -> None:
        self.n, self.every = n, every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the hardest."""
        module = cast(MetricLearner, pl_module)
        mined = module.mined
        if (
            batch_idx
            or trainer.current_epoch % self.every
            or mined is None
            or not writers(trainer.loggers)
        ):
            return
        own = module.embeddings[: len(batch[1])]  # rank zero's come first
        cosines, mined = own @ own.T, among(mined, len(own))
        data, rows = trainer.datamodule, []  # type: ignore[attr-defined]
        for anchor, *others in hardest(cosines, mined, self.n):
            pictures = batch_photos(batch, [anchor, *(position for position, _ in others)], data)
            shown = [Shown(pictures[0], data.label_names[int(batch[1][anchor])], None)]
            for (position, right), picture in zip(others, pictures[1:], strict=True):
                shown.append(
                    Shown(picture, f"cosine {float(cosines[anchor, position]):.2f}", right)
                )
            rows.append(shown)
        if rows:
            show_picture(trainer.loggers, "train/mined", grid(rows), trainer.global_step)


def among(mined: tuple[Tensor, ...], n: int) -> tuple[Tensor, ...]:
    """Return the triplets or pairs of `mined`, as in `hardest`, that are of the first n photos
    alone.
    """
    groups = [mined] if len(mined) == 3 else [mined[:2], mined[2:]]
    return tuple(side[torch.stack(group).amax(dim=0) < n] for group in groups for side in group)


def hardest(cosines: Tensor, mined: tuple[Tensor, ...], n: int) -> list[tuple[Any, ...]]:
    """Return up to n of what a miner picked, hardest first: (anchor, (position, is positive), ...),
    each anchor once.

    Args:
        cosines: float (B, B).
        mined: anchors, positives and negatives, int (t,) each; or of pairs, anchors and positives,
            anchors and negatives.
        n: at most so many; of pairs half of each kind.
    """
    if len(mined) == 3:
        anchors, positives, negatives = mined
        order = torch.argsort(cosines[anchors, positives] - cosines[anchors, negatives])
        picked = [
            (int(anchors[i]), (int(positives[i]), True), (int(negatives[i]), False)) for i in order
        ]
        return _once(picked, n)
    first, positives, second, negatives = mined
    far = torch.argsort(cosines[first, positives])
    near = torch.argsort(cosines[second, negatives], descending=True)
    right = _once([(int(first[i]), (int(positives[i]), True)) for i in far], n // 2)
    return right + _once([(int(second[i]), (int(negatives[i]), False)) for i in near], n - n // 2)


def _once(picked: list[tuple[Any, ...]], n: int) -> list[tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for one in picked:
        found.setdefault(one[0], one)
    return [*found.values()][:n]
