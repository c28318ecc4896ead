from typing import cast

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from vsearch.backbones.base import Backbone
from vsearch.freezing import blocks
from vsearch.memory import expected_bytes


class ShowRun(Callback):
    """At the start of a fit, print what is trained, block by block, and the memory that training expects."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not trainer.is_global_zero:
            return
        table = Table("block", "parameters", "share", "trained", title="Backbone", title_justify="left")
        backbone = cast(Backbone, pl_module.backbone)
        rows = blocks(backbone)
        for row in rows:
            trained = "yes" if row.trainable == row.parameters else "frozen" if row.trainable == 0 else "in part"
            table.add_row(row.name, f"{row.parameters:,}", f"{row.share:.1%}", trained)
        total, trainable = sum(row.parameters for row in rows), sum(row.trainable for row in rows)
        table.add_row("all", f"{total:,}", "100.0%", f"{trainable:,} ({trainable / total:.1%})")
        Console().print(table)
        data = trainer.datamodule  # type: ignore[attr-defined]
        needed = expected_bytes(backbone, data.p * data.k)
        print(f"Weights from: {backbone.origin}. Training expects about {needed / 2**30:.1f} GiB of memory.")
