import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

from vsearch.bundle import BundleError
from vsearch.catalogs.base import CatalogError
from vsearch.datamodule import CatalogDataModule
from vsearch.images import PhotoError
from vsearch.module import MetricLearner
from vsearch.splits import SplitError


class ShowConfig(SaveConfigCallback):
    """Save the run's configuration to config.yaml and show it in TensorBoard."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration as a TensorBoard text."""
        text = self.parser.dump(self.config, skip_none=False)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("config", f"```yaml\n{text}\n```")


class TrainerCLI(LightningCLI):
    """LightningCLI that resumes a run in its folder, and whose `predict` doesn't collect a catalog's embeddings."""

    def before_instantiate_classes(self) -> None:
        """Let an interrupted fit go on in its own folder: elsewhere ModelCheckpoint forgets how good the best was."""
        config = self.config[self.subcommand]
        checkpoint, logger = config.get("ckpt_path"), config.get("trainer.logger")
        if self.subcommand != "fit" and not checkpoint:
            rank_zero_warn(f"{self.subcommand} without --ckpt_path: this is the network before training.")
        if self.subcommand != "fit" or not checkpoint or not isinstance(logger, Namespace):
            return
        run, place = Path(checkpoint).resolve().parent.parent, logger.get("init_args", Namespace())
        logs = Path(place.get("save_dir") or "", place.get("name") or "").resolve()
        number = re.fullmatch(r"version_(\d+)", run.name)
        if number and run.parent == logs and place.get("version") is None and not (run / "bundle").exists():
            place["version"] = int(number[1])
            self.save_config_kwargs["overwrite"] = True

    def predict(self, **arguments: Any) -> None:
        """Run the trainer's predict without collecting what it returns."""
        self.trainer.predict(**{**arguments, "return_predictions": False})


def run(args: Sequence[str] | None = None) -> TrainerCLI:
    """Run `fit`, `validate`, `test` or `predict` with LightningCLI; `args` default to the command line's."""
    _show_log()
    try:
        return TrainerCLI(
            MetricLearner,
            CatalogDataModule,
            args=None if args is None else list(args),
            save_config_callback=ShowConfig,
            auto_configure_optimizers=False,
            parser_kwargs={"prog": "vsearch", "allow_abbrev": False},
        )
    except (BundleError, CatalogError, PhotoError, SplitError) as error:
        sys.exit(f"vsearch: {error}")


def _show_log() -> None:
    """Print what vsearch logs from INFO on: what a catalog left out must not go unseen."""
    log = logging.getLogger("vsearch")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
