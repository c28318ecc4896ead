import logging
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentError, Namespace, set_parsing_settings
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from rich import get_console

from vsearch.cli import first_fit
from vsearch.cli.callbacks_path import join_callbacks
from vsearch.data.io.object_stores import is_url
from vsearch.errors import BundleError, ConfigError
from vsearch.indexes.base import Index
from vsearch.indexes.vector_store import VectorStoreIndex
from vsearch.models.adaptations.base import Adaptation
from vsearch.models.backbones.base import Backbone
from vsearch.models.heads.base import Head
from vsearch.models.precision import quickest
from vsearch.plain_text import on_terminal
from vsearch.reports.tables import tested
from vsearch.training.checks.checkpoint_files import check_checkpoint
from vsearch.training.checks.component_errors import make_naming, naming, refused
from vsearch.training.checks.config_errors import parse_error
from vsearch.training.checks.preflight import check, check_devices, check_stored
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.distributed.ranks import RankZeroError
from vsearch.training.module import DivergedError, MetricLearner
from vsearch.training.whole_checkpoints import WholeCheckpoints

log = logging.getLogger(__name__)
KEPT = ("last", "hpc")  # checkpoints that Lightning finds by itself


class ShowConfig(SaveConfigCallback):
    """Save the run's configuration as a new run would take it, and show it in TensorBoard."""

    def __init__(
        self, parser: LightningArgumentParser, config: Namespace, *args: Any, **kwargs: Any
    ) -> None:
        config = config.clone()
        # the next run needs neither a resumed run's checkpoint nor its folder's number
        config["ckpt_path"] = None
        if folder := _folder_settings(config):
            folder["version"] = None
        super().__init__(parser, config, *args, **kwargs)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Show the newly written configuration as a TensorBoard text."""
        text = (Path(trainer.log_dir or "") / self.config_filename).read_text()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("config", f"```yaml\n{text}\n```")


class TrainerCLI(LightningCLI):
    """LightningCLI that fills in a loss's sizes and resumes a fit in its own folder.

    Args:
        command: the only subcommand whose settings are collected, since each takes a while.
        given, named: LightningCLI's arguments.
    """

    def __init__(self, command: str, *given: Any, **named: Any) -> None:
        self.subcommands = lambda: {command: LightningCLI.subcommands()[command]}  # type: ignore[method-assign]
        super().__init__(*given, **named)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declare index and adaptation, and give losses the sizes of model and catalog."""
        parser.add_subclass_arguments(
            Index, "index", required=False, help="how the gallery is searched"
        )
        parser.add_subclass_arguments(
            Adaptation, "adaptation", required=False, help="fitted to the best epoch's embeddings"
        )
        parser.link_arguments(
            ("model.backbone", "model.head"),
            "model.loss.init_args.embedding_size",
            self._embedding_size,
            apply_on="instantiate",
        )
        parser.link_arguments(
            "data", "model.loss.init_args.num_classes", self._labels, apply_on="instantiate"
        )
        parser.link_arguments("data", "model.axis_codes", self._axis_codes, apply_on="instantiate")

    def _labels(self, data: CatalogDataModule) -> int:
        """Return the number of labels; read the catalog only for a loss that needs it."""
        if "num_classes" not in self._loss_settings():
            return 0
        data.read()
        return self._filled_in("num_classes", data.n_labels)

    def _axis_codes(self, data: CatalogDataModule) -> dict[str, np.ndarray]:
        """Return the values of the training's axes; without axes, don't read the catalog."""
        axes = self.config[self.subcommand].model.axis_losses
        return data.axis_codes([*axes]) if axes else {}

    def _embedding_size(self, backbone: Backbone, head: Head | None) -> int:
        check_stored(backbone, head)  # a plugin may have forgotten its `dim`
        return self._filled_in("embedding_size", backbone.dim if head is None else head.dim)

    def _filled_in(self, name: str, value: int) -> int:
        given = self._loss_settings().get(name)
        if given not in (None, value):
            rank_zero_warn(
                f"model.loss.init_args.{name}: {given} isn't used; vsearch sets it to {value}."
            )
        return value

    def _loss_settings(self) -> Mapping[str, Any]:
        return self.config[self.subcommand].model.loss.get("init_args") or {}

    def _dump_config(self) -> None:
        """Give a loss without arguments the mapping in which Lightning writes linked sizes."""
        super()._dump_config()
        self.config_dump["model"]["loss"].setdefault("init_args", {})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read command line and YAML; raise a ConfigError for unusable settings."""
        words = sys.argv[1:] if args is None else args
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            settings = self._subcommand_parsers[words[0]].get_defaults(skip_validation=True).keys()
            raise parse_error(str(error), words, settings) from error
        self._check_checkpoint()  # Lightning reads it next

    def _check_checkpoint(self) -> None:
        command = self.config.subcommand
        checkpoint = self.config[command].get("ckpt_path")
        if not checkpoint:
            if command != "fit":
                rank_zero_warn(f"{command} without --ckpt_path uses the network before training.")
            return
        if checkpoint == "best":
            raise ConfigError(
                "ckpt_path",
                "'best' is known only within its fit. Name the file, such as "
                "lightning_logs/version_0/checkpoints/best.ckpt",
            )
        if checkpoint not in KEPT and not is_url(checkpoint):
            check_checkpoint(Path(checkpoint))

    def before_instantiate_classes(self) -> None:
        """Choose the precision if the config doesn't; resume a fit in its own folder."""
        config = self.config[self.subcommand]
        if config.trainer.get("precision") is None:
            config.trainer.precision = quickest(str(config.trainer.accelerator))
            log.info(
                "precision: %s, the quickest here (`--trainer.precision` sets another)",
                config.trainer.precision,
            )
        if self.subcommand == "fit" and config.get("ckpt_path"):
            self._resume_in_its_folder(Path(config.ckpt_path), _folder_settings(config))

    def _resume_in_its_folder(self, checkpoint: Path, folder: Namespace | None) -> None:
        """Resume in the fit's own folder: otherwise ModelCheckpoint forgets the best score."""
        if folder is None or folder.get("version") is not None:
            return
        run = checkpoint.resolve().parent.parent
        logs = Path(folder.get("save_dir") or "", folder.get("name") or "").resolve()
        number = re.fullmatch(r"version_(\d+)", run.name)
        if number and run.parent == logs and not (run / "bundle").exists():
            folder["version"] = int(number[1])
            self.save_config_kwargs["overwrite"] = True

    def instantiate_classes(self) -> None:
        """Make model, data and trainer; raise a ConfigError that names a refused setting."""
        refusals: list[ConfigError] = []
        self.parser.add_instantiator(make_naming(self.config[self.subcommand], refusals), object)
        with naming(refusals):
            super().instantiate_classes()

    def instantiate_trainer(self, **arguments: Any) -> Trainer:
        """Make the trainer, and give index and adaptation to the callbacks that use them."""
        try:
            trainer = super().instantiate_trainer(**arguments)
        except RuntimeError as error:
            if twice := re.search(r"more than one stateful callback of type `(\w+)`", str(error)):
                key = f"trainer.callbacks[{twice[1]}]"
                raise ConfigError(key, "it occurs twice: remove one") from error
            raise
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # the user chose none
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        settings = self.config_init[self.subcommand]
        index = settings.get("index")
        adaptation = settings.get("adaptation")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if getattr(callback, "adaptation", False) is None:  # it has none of its own
                callback.adaptation = adaptation
            if index is not None and hasattr(callback, "use_index"):
                callback.use_index(index)
            used = getattr(callback, "index", None)
            if isinstance(used, VectorStoreIndex) and used.collection.secret:
                raise ConfigError(
                    "index.init_args.url",
                    "the run keeps a copy of its config: leave user and password out, and set "
                    "them in the environment (PGUSER and PGPASSWORD, or MILVUS_TOKEN)",
                )
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails, end the other ranks, which would wait for this rank."""
        try:
            super()._run_subcommand(subcommand)
        except BaseException:
            if (launcher := self.trainer.strategy.launcher) is not None:
                launcher.kill(signal.SIGKILL)
            raise

    def fit(self, **arguments: Any) -> None:
        """Check that model, data and trainer fit together, then train."""
        settings = self.config[self.subcommand].trainer
        check_devices(self.trainer, settings.use_distributed_sampler, settings.sync_batchnorm)
        check(self.model, self.datamodule, self.trainer)
        try:
            with naming():
                self.trainer.fit(**arguments)
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # so Lightning ends it
                raise KeyboardInterrupt(self._how_to_go_on()) from end
            raise
        except Exception:
            self._forget_failed_start()
            raise

    def _forget_failed_start(self) -> None:
        """Remove the new run's folder if nothing was trained and no photo was skipped."""
        folder = _folder_settings(self.config[self.subcommand])
        is_new = folder is not None and folder.get("version") is None
        run = getattr(self.trainer.logger, "log_dir", None)
        is_empty = self.trainer.global_step == 0 and self.datamodule.skipped.empty
        if is_new and run and is_empty and self.trainer.is_global_zero:
            shutil.rmtree(run, ignore_errors=True)

    def _how_to_go_on(self) -> str:
        run = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        last = run / "checkpoints" / "last.ckpt"
        if not last.exists():
            return f"The run is in {run}. No epoch finished, so there is nothing to continue."
        command = f"python -m vsearch fit --config {run / 'config.yaml'} --ckpt_path {last}"
        return f"The run is in {run}. Continue it with: {command}"

    def test(self, **arguments: Any) -> None:
        """Test, and print each metric with its 95 % interval."""
        self.trainer.test(**{**arguments, "verbose": False})
        if self.model.tested is not None:
            tested(self.model.tested).show("Retrieval, by exact search", get_console())

    def predict(self, **arguments: Any) -> None:
        """Run the trainer's predict without collecting its results."""
        self.trainer.predict(**{**arguments, "return_predictions": False})


def _folder_settings(config: Namespace) -> Namespace | None:
    """Return the settings of the first logger, which names the run's folder."""
    loggers = config.get("trainer.logger")
    first = loggers[0] if isinstance(loggers, list) and loggers else loggers
    return first.get("init_args") if isinstance(first, Namespace) else None


def run(args: Sequence[str] | None = None) -> TrainerCLI:
    """Run `fit`, `validate`, `test` or `predict`; `args` default to the command line's."""
    _show_log()
    join_callbacks()
    command = (sys.argv[1:] if args is None else args)[0]
    # finds typos in arguments that pytorch-metric-learning leaves untyped
    set_parsing_settings(validate_subclass_spec_in_any=True)
    try:
        return TrainerCLI(
            command,
            MetricLearner,
            CatalogDataModule,
            args=None if args is None else list(args),
            save_config_callback=ShowConfig,
            auto_configure_optimizers=False,
            # vsearch's samplers share the batches among devices
            trainer_defaults={"use_distributed_sampler": False},
            parser_kwargs={
                "prog": "vsearch",
                "allow_abbrev": False,
                "exit_on_error": False,
                command: first_fit.HELP if command == "fit" else {},
            },
        )
    except (BundleError, DivergedError):
        raise
    except RankZeroError:
        sys.exit(1)  # rank zero has printed the reason
    except Exception as error:
        if (refusal := refused(error)) is None:
            raise
        raise refusal from error


class _StderrNow(logging.Handler):
    """Writes to the current sys.stderr, which may have been replaced since the start."""

    def emit(self, record: logging.LogRecord) -> None:
        print(on_terminal(self.format(record)), file=sys.stderr)


def _hide_noise() -> None:
    """Hide libraries' tips, and warnings about their future versions."""
    tips = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    tips.addFilter(lambda record: "Tip:" not in record.getMessage())
    warnings.filterwarnings("ignore", ".*LeafSpec")  # Lightning 2.6 with a newer PyTorch
    warnings.filterwarnings("ignore", ".*smaller than the logging interval")
    warnings.filterwarnings("ignore", ".*in eval mode at the start")  # frozen modules


def _show_log() -> None:
    """Print vsearch's log; with several ranks, only rank zero prints."""
    log = logging.getLogger("vsearch")
    _hide_noise()
    if getattr(rank_zero_only, "rank", 0):
        get_console().quiet = True  # progress bars
        log.setLevel(logging.ERROR)
        return
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(_StderrNow())
