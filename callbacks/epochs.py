import math
from typing import Any

from lightning.pytorch import Trainer


class EpochMetrics:
    """The values that each epoch logged: `train/loss`, `val/map_at_r`, ..."""

    def __init__(self) -> None:
        self._epochs: dict[int, dict[str, float | None]] = {}

    def note(self, trainer: Trainer) -> None:
        """Keep the values that the running epoch has logged; later calls add to them."""
        if trainer.sanity_checking:
            return
        found = self._epochs.setdefault(trainer.current_epoch, {})
        for name, value in trainer.callback_metrics.items():
            if "/" in name and not name.endswith("_step"):
                number = float(value)
                found[name.removesuffix("_epoch")] = number if math.isfinite(number) else None

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping per epoch, in order: `epoch`, and each logged value by its name."""
        return [{"epoch": epoch, **found} for epoch, found in sorted(self._epochs.items())]

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Restore the `rows` of the epochs before a fit was interrupted."""
        self._epochs = {
            row["epoch"]: {name: row[name] for name in row if name != "epoch"} for row in rows
        }
