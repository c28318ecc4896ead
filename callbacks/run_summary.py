from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from callbacks.run_objects import catalog_data, metric_learner
from vsearch.models.freezing import Block, blocks
from vsearch.reports.table import Table
from vsearch.training.memory import expected_bytes
from vsearch.training.module import MetricLearner


class ShowRun(Callback):
    """At the start of a fit, print what is trained, block by block, and the memory it needs.

    Shares are of all parameters in the table, including a removed classifier, if known.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not trainer.is_global_zero:
            return
        module = metric_learner(pl_module)
        data = catalog_data(trainer)
        backbone = module.backbone
        _table(module).show("Model", Console())

        batch_size = data.classes_per_batch * data.photos_per_class
        needed = expected_bytes(module.embedder, module.losses, batch_size) / 2**30
        missing = f" ({backbone.wanted} could not be downloaded)" if backbone.wanted else ""
        print(
            f"Weights from: {backbone.origin}{missing}. Training expects about {needed:.1f} GiB of "
            "memory."
        )


def _table(module: MetricLearner) -> Table:
    present = _present(module)
    total = sum(block.parameters for block in present)
    trainable = sum(block.trainable for block in present)
    removed = module.backbone.removed
    if removed:
        total += removed[1]

    rows = []

    def add(name: str, parameters: int, trained: str) -> None:
        rows.append([name, f"{parameters:,}", f"{parameters / total:.1%}", trained])

    for block in present:
        in_part = "in part" if block.trainable else "frozen"
        trained = "yes" if block.trainable == block.parameters else in_part
        add(block.name, block.parameters, trained)
    if removed:
        add(f"{removed[0]} (removed)", removed[1], "-")
    add("all", total, f"{trainable:,} ({trainable / total:.1%})")
    return Table(["block", "parameters", "share", "trained"], rows)


def _present(module: MetricLearner) -> list[Block]:
    """Return the backbone's blocks, then head and loss if they have parameters."""
    found = blocks(module.backbone)
    for name, part in (("head", module.embedder.head), ("loss", module.losses)):
        if part is not None and any(True for _ in part.parameters()):
            found.append(Block.of(name, part.parameters()))
    return found
