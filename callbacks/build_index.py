import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.epochs import EpochMetrics
from callbacks.run_objects import catalog_data, metric_learner
from callbacks.tensorboard import show_report
from vsearch.bundle.exports.export import Wanted, export
from vsearch.bundle.generations.files import MANIFEST
from vsearch.bundle.writing import fingerprint_of, write_bundle
from vsearch.class_paths import plugins_of
from vsearch.data.io.atomic import forget_unfinished
from vsearch.data.items import common_folder
from vsearch.errors import BundleError, ConfigError
from vsearch.evaluation import calibration
from vsearch.evaluation.final_evaluation import FinalEvaluation
from vsearch.evaluation.run_report import RunReport
from vsearch.indexes.base import Index, IndexUnavailable
from vsearch.indexes.exact import ExactIndex
from vsearch.models.adaptations.base import Adaptation
from vsearch.reports.alone import fails_alone
from vsearch.reports.closing import show_closing
from vsearch.reports.fit_report import IN_MANIFEST, TrainingHistory, fit_files, fit_report
from vsearch.reports.grid import example_grid
from vsearch.reports.tables import show
from vsearch.training import final_evaluator
from vsearch.training.distributed.ranks import make_at_rank_zero
from vsearch.training.final_evaluator import BuiltIndex


class BuildIndex(Callback):
    """After the fit: best checkpoint -> gallery's embeddings -> index -> test searches -> bundle.

    It runs in `on_fit_end`, since ModelCheckpoint is done only then. By that time the model is back
    on the CPU and may no longer log: this callback moves the model, and writes to TensorBoard,
    itself. Of several ranks, rank zero does it alone.

    Args:
        index: the index of the gallery; None: the run's top-level `index`, or exact search.
        baseline: also measure the same backbone before training, without a head; this embeds
            everything a second time.
        error_rate: share of photos with a right best hit that may get "no good match" (see
            `Calibration`).
        export: also write the network as ONNX, so that searching and serving need no PyTorch.
        adaptation: fitted to the best epoch's embeddings of the train part, and appended to the
            network in the bundle and its report, not in checkpoints. None: the run's top-level
            `adaptation`, or none.
    """

    def __init__(
        self,
        index: Index | None = None,
        baseline: bool = True,
        error_rate: float = calibration.ERROR_RATE,
        export: bool = True,
        adaptation: Adaptation | None = None,
    ) -> None:
        calibration.check_rate(error_rate)
        self.index = ExactIndex() if index is None else index  # an empty index is falsy
        self.baseline = baseline
        self.error_rate = error_rate
        self.export = export
        self.adaptation = adaptation
        self._has_own_index = index is not None
        self._initial_weights: dict[str, Tensor] = {}
        self._metrics = EpochMetrics()
        self._epoch_start: float | None = None
        self._epoch_seconds: list[float] = []

    def use_index(self, index: Index) -> None:
        """Use the run's index, unless the callback has its own."""
        if not self._has_own_index:
            self.index = index

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the initial weights, before a checkpoint to resume from is loaded."""
        if stage != "fit":
            return
        # All ranks must ask for the folder at once.
        self.folder = Path(trainer.log_dir or trainer.default_root_dir) / "bundle"
        if make_at_rank_zero(trainer, self.folder.exists):
            raise BundleError(f"{self.folder} exists already: move it away, or start a new run.")
        if trainer.is_global_zero:
            for pattern in ("version_*/", "version_*/checkpoints/"):
                forget_unfinished(self.folder.parent.parent, pattern)
        if self.baseline and trainer.is_global_zero:
            weights = metric_learner(pl_module).backbone.state_dict()
            self._initial_weights = {
                name: value.detach().clone() for name, value in weights.items()
            }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse an index that the gallery can't fill, before hours of training."""
        data = catalog_data(trainer)
        dim = metric_learner(pl_module).embedder.dim
        if self.adaptation is not None and metric_learner(pl_module).backbone.words is not None:
            raise ConfigError(
                "adaptation",
                "it leads to another space than the texts', so words would find nothing. Remove "
                "it, or set `text: false` of the backbone.",
            )
        if self.adaptation is not None:
            labels = data.part("train")["label"].nunique()
            dim = self.adaptation.width(dim, labels)
            if dim == 1:
                rank_zero_warn(
                    f"adaptation: of {labels} labels it leaves embeddings of one value, 1 or -1 at "
                    "unit length: the items of a label have no order. Fit without it."
                )
        try:
            per_item = len(metric_learner(pl_module).embedder.preprocessing.regions)
            n_vectors = per_item * len(data.gallery("test"))
            self.index.check(n_vectors, dim)
        except (ValueError, IndexUnavailable) as error:
            raise ConfigError("index", str(error)) from error

    def state_dict(self) -> dict[str, Any]:
        """Return the earlier epochs for the report of a resumed fit."""
        return {"epochs": self._metrics.rows()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the earlier epochs."""
        self._metrics.restore(state_dict["epochs"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the epoch logged, and the seconds it took, validation included.

        Interrupted or resumed epochs have no time.
        """
        self._metrics.note(trainer)
        whole = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if whole and self._epoch_start is not None:
            self._epoch_seconds.append(time.perf_counter() - self._epoch_start)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the values of validation, before the epoch's checkpoint is written."""
        self._metrics.note(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the index of the best epoch, measure it, write the bundle."""
        if not trainer.is_global_zero:
            return
        checkpoint = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not checkpoint:
            rank_zero_warn("BuildIndex: no ModelCheckpoint kept an epoch, so there is no bundle.")
            return

        # else its last state is shown at the very end
        if trainer.progress_bar_callback is not None:
            trainer.progress_bar_callback.teardown(trainer, pl_module, "fit")
        module = metric_learner(pl_module)
        data = catalog_data(trainer)
        evaluator = final_evaluator.FinalEvaluator(data, trainer.strategy.root_device)
        with trainer.precision_plugin.forward_context():
            untrained = None
            if self._initial_weights:
                with fails_alone("the comparison with the network before training"):
                    untrained = evaluator.score_untrained(module.backbone, self._initial_weights)
                self._initial_weights = {}

            epoch = final_evaluator.load_best_weights(module, checkpoint)
            if self.adaptation is not None:
                evaluator.adapt(module.embedder, self.adaptation)
            photos = evaluator.embed_test_photos(module.embedder, "best epoch")
            fingerprint = fingerprint_of(module.embedder)
            vectors = evaluator.embed_regions(module.embedder, photos.gallery)
            judge = evaluator.judge(module.embedder, photos)
            built = final_evaluator.build_index(self.index, vectors, fingerprint, judge)
            evaluation = evaluator.evaluate(
                module.embedder, photos, built, untrained, self.error_rate, judge
            )

        epoch_s = median(self._epoch_seconds) if self._epoch_seconds else None
        history = TrainingHistory(self._metrics.rows(), epoch, epoch_s)
        report = fit_report(evaluation, history, final_evaluator.network_of(module))
        self._write_bundle(trainer, built, evaluation, report)
        if self.export:
            self._export()
        with fails_alone("the tables in the terminal"):
            show(report)
        with fails_alone("the closing lines in the terminal"):
            manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            show_closing(report, self.folder, plugins_of(manifest))

    def _write_bundle(
        self,
        trainer: Trainer,
        built: BuiltIndex,
        evaluation: FinalEvaluation,
        report: RunReport,
    ) -> None:
        """Write the bundle."""
        module = metric_learner(trainer.lightning_module)
        data = evaluation.data
        content = report.to_json()
        manifest = {name: content[name] for name in IN_MANIFEST}
        if data.group is not None:
            manifest["products"] = {"group": data.group, "fuse": data.fuse}
        picture = None
        with fails_alone("the picture of search results"):
            picture = example_grid(evaluation.hits.positions, data.queries, data.gallery)
        photos_root = common_folder([*data.gallery["path"], *data.queries["path"]])
        write_bundle(
            self.folder,
            module.embedder,
            built.index,
            data.gallery.drop(columns="label_code"),
            manifest,
            fit_files(report, evaluation, picture, self.folder.parent, photos_root),
            built.vectors,
            photos_root,
        )
        with fails_alone("the report in TensorBoard"):
            show_report(trainer.loggers, report, picture)

    def _export(self) -> None:
        """Write the network as ONNX beside its weights."""
        try:
            export(self.folder, Wanted("onnx"))
        except Exception as error:  # PyTorch's exporter raises many types
            rank_zero_warn(
                "BuildIndex: the network has no ONNX export, so PyTorch will search and serve "
                f"this bundle. {error}"
            )
