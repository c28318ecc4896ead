from typing import cast

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from vsearch.models.freezing import Block, blocks
from vsearch.training.memory import expected_bytes
from vsearch.training.module import MetricLearner


class ShowRun(Callback):
    """At the start of a fit, print what is trained, block by block, and the memory that training
    expects.

    Shares are of all that the table lists, the classifier that the backbone has lost included where
    it is known.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not trainer.is_global_zero:
            return
        module = cast(MetricLearner, pl_module)
        table = Table(
            "block", "parameters", "share", "trained", title="Model", title_justify="left"
        )
        rows = [(block, _trained(block)) for block in _present(module)]
        if removed := module.backbone.removed:
            name, parameters = removed
            rows.append((Block(f"{name} (removed)", parameters, 0), "-"))
        total, trainable = (
            sum(row.parameters for row, _ in rows),
            sum(row.trainable for row, _ in rows),
        )
        for row, trained in rows:
            table.add_row(row.name, f"{row.parameters:,}", f"{row.parameters / total:.1%}", trained)
        table.add_row("all", f"{total:,}", "100.0%", f"{trainable:,} ({trainable / total:.1%})")
        Console().print(table)
        data, backbone = trainer.datamodule, module.backbone  # type: ignore[attr-defined]
        needed = expected_bytes(module.embedder, module.loss, data.p * data.k) / 2**30
        missing = f" ({backbone.wanted} could not be downloaded)" if backbone.wanted else ""
        print(
            f"Weights from: {backbone.origin}{missing}. Training expects about {needed:.1f} GiB of "
            "memory."
        )


def _present(module: MetricLearner) -> list[Block]:
    """Return the backbone's blocks, then head and loss if they have parameters."""
    beside = {"head": module.embedder.head, "loss": module.loss}
    found = [Block.of(name, part.parameters()) for name, part in beside.items() if part is not None]
    return [*blocks(module.backbone), *(block for block in found if block.parameters)]


def _trained(block: Block) -> str:
    return (
        "yes"
        if block.trainable == block.parameters
        else "frozen"
        if block.trainable == 0
        else "in part"
    )
