import logging
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, Namespace, set_parsing_settings
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from rich import get_console

from vsearch.errors import BundleError, ConfigError
from vsearch.indexes.base import Index
from vsearch.models.backbones.base import Backbone
from vsearch.models.heads.base import Head
from vsearch.models.precision import quickest
from vsearch.training.checks.config_errors import parse_error
from vsearch.training.checks.part_errors import make_naming, naming, refused
from vsearch.training.checks.preflight import check, check_stored
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.distributed.ranks import RankZeroError
from vsearch.training.module import DivergedError, MetricLearner

log = logging.getLogger(__name__)
KEPT = ("last", "best", "hpc")  # checkpoints that Lightning finds by itself


class ShowConfig(SaveConfigCallback):
    """Save the run's configuration to config.yaml, as a new run would take it, and show it in
    TensorBoard.
    """

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, *args: Any, **kwargs: Any
    ) -> None:
        config = config.clone()
        config["ckpt_path"] = (
            None  # a resumed run's, and its folder's number, are not the next one's
        )
        if place := _folder_settings(config):
            place["version"] = None
        super().__init__(parser, config, *args, **kwargs)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration as a TensorBoard text."""
        text = self.parser.dump(self.config, skip_none=False)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("config", f"```yaml\n{text}\n```")


class TrainerCLI(LightningCLI):
    """LightningCLI that fills in the loss's sizes, resumes a run in its folder, and doesn't collect
    predictions.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Take a run's index at the top level; fill in what a loss with weights needs of embedding
        and catalog.
        """
        parser.add_subclass_arguments(
            Index, "index", required=False, help="how the gallery is searched"
        )
        target, link = (
            "model.loss.init_args",
            partial(parser.link_arguments, apply_on="instantiate"),
        )
        link(("model.backbone", "model.head"), f"{target}.embedding_size", self._embedding_size)
        link("data", f"{target}.num_classes", self._labels)

    def _labels(self, data: CatalogDataModule) -> int:
        """Return how many labels there are; reads the catalog, but only for a loss that asks."""
        if "num_classes" not in self._loss_settings():
            return 0
        data.read()
        return self._filled_in("num_classes", data.n_labels)

    def _embedding_size(self, backbone: Backbone, head: Head | None) -> int:
        check_stored(backbone, head)  # a plugin may have forgotten its `dim`
        return self._filled_in("embedding_size", backbone.dim if head is None else head.dim)

    def _filled_in(self, name: str, value: int) -> int:
        """Return the value that the loss gets, and say so where another was asked for."""
        if (given := self._loss_settings().get(name)) not in (None, value):
            rank_zero_warn(
                f"model.loss.init_args.{name}: {given} isn't used, since it is filled in: {value}."
            )
        return value

    def _loss_settings(self) -> Mapping[str, Any]:
        return self.config[self.subcommand].model.loss.get("init_args") or {}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read command line and YAML; what can't be used is a ConfigError."""
        words = sys.argv[1:] if args is None else args
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            settings = self._subcommand_parsers[words[0]].get_defaults(skip_validation=True).keys()
            raise parse_error(str(error), words, settings) from error

    def before_instantiate_classes(self) -> None:
        """Choose the precision if the config doesn't; let an interrupted fit go on in its own
        folder.

        Elsewhere ModelCheckpoint would forget how good the best was.
        """
        config = self.config[self.subcommand]
        if config.trainer.get("precision") is None:
            config.trainer.precision = quickest(str(config.trainer.accelerator))
            log.info(
                "precision: %s, the quickest here (`--trainer.precision` sets another)",
                config.trainer.precision,
            )
        checkpoint, place = config.get("ckpt_path"), _folder_settings(config)
        if (
            checkpoint
            and checkpoint not in KEPT
            and "://" not in checkpoint
            and not Path(checkpoint).exists()
        ):
            raise ConfigError("ckpt_path", f"there is no file {checkpoint}")
        if self.subcommand != "fit" and not checkpoint:
            rank_zero_warn(
                f"{self.subcommand} without --ckpt_path: this is the network before training."
            )
        if self.subcommand != "fit" or not checkpoint or place is None:
            return
        run = Path(checkpoint).resolve().parent.parent
        logs = Path(place.get("save_dir") or "", place.get("name") or "").resolve()
        number = re.fullmatch(r"version_(\d+)", run.name)
        if (
            number
            and run.parent == logs
            and place.get("version") is None
            and not (run / "bundle").exists()
        ):
            place["version"] = int(number[1])
            self.save_config_kwargs["overwrite"] = True

    def instantiate_classes(self) -> None:
        """Make all parts; what one of them refuses is a ConfigError that names it."""
        refusals: list[ConfigError] = []
        self.parser.add_instantiator(make_naming(self.config[self.subcommand], refusals), object)
        with naming(refusals):
            super().instantiate_classes()

    def instantiate_trainer(self, **arguments: Any) -> Trainer:
        """Make the trainer, and hand the run's index to the callbacks that build one: an overlay
        can't reach these.
        """
        try:
            trainer, index = (
                super().instantiate_trainer(**arguments),
                self.config_init[self.subcommand].get("index"),
            )
        except RuntimeError as error:
            if twice := re.search(r"more than one stateful callback of type `(\w+)`", str(error)):
                raise ConfigError(
                    f"trainer.callbacks[{twice[1]}]", "it is there twice: remove one"
                ) from error
            raise
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if index is not None and hasattr(callback, "use_index"):
                callback.use_index(index)
            if getattr(getattr(callback, "index", None), "secret", False):
                raise ConfigError(
                    "index.init_args.url",
                    "the run keeps a copy of its config: leave user and password out, and put "
                    "them into the environment (PGUSER and PGPASSWORD, or MILVUS_TOKEN)",
                )
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails, end the other ranks that were started for it: they would wait for
        this one.
        """
        try:
            super()._run_subcommand(subcommand)
        except BaseException:
            if (launcher := self.trainer.strategy.launcher) is not None:
                launcher.kill(signal.SIGKILL)
            raise

    def fit(self, **arguments: Any) -> None:
        """Train, once the parts are known to go together."""
        check(self.model, self.datamodule, self.trainer)
        with naming():
            self.trainer.fit(**arguments)

    def predict(self, **arguments: Any) -> None:
        """Run the trainer's predict without collecting what it returns."""
        self.trainer.predict(**{**arguments, "return_predictions": False})


def _folder_settings(config: Namespace) -> Namespace | None:
    """Return the settings of the logger that names the run's folder: the first."""
    loggers = config.get("trainer.logger")
    first = loggers[0] if isinstance(loggers, list) and loggers else loggers
    return first.get("init_args") if isinstance(first, Namespace) else None


def run(args: Sequence[str] | None = None) -> TrainerCLI:
    """Run `fit`, `validate`, `test` or `predict` with LightningCLI; `args` default to the command
    line's.

    A setting or data that is refused is told in one line and ends with status 2; training that goes
    wrong, with 1.
    """
    _show_log()
    set_parsing_settings(
        validate_subclass_spec_in_any=True
    )  # a typo in what pytorch-metric-learning leaves untyped
    try:
        return TrainerCLI(
            MetricLearner,
            CatalogDataModule,
            args=None if args is None else list(args),
            save_config_callback=ShowConfig,
            auto_configure_optimizers=False,
            trainer_defaults={
                "use_distributed_sampler": False
            },  # batches are shared among devices by what makes them
            parser_kwargs={"prog": "vsearch", "allow_abbrev": False, "exit_on_error": False},
        )
    except (BundleError, DivergedError) as error:
        sys.exit(f"vsearch: {error}")
    except RankZeroError:
        sys.exit(1)
    except Exception as error:
        line = refused(error)
        if line is None:
            raise
        print(f"vsearch: {line}", file=sys.stderr)
        sys.exit(2)


class _StderrNow(logging.Handler):
    """Writes to what stderr is by then: whoever captures it exchanges it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _show_log() -> None:
    """Print what vsearch logs from INFO on: what a catalog left out must not go unseen. Of several
    ranks, zero does.
    """
    log = logging.getLogger("vsearch")
    if getattr(rank_zero_only, "rank", 0):
        get_console().quiet = True  # progress bars
        log.setLevel(logging.ERROR)
        return
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(_StderrNow())
