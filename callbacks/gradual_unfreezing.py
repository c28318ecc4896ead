from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.run_objects import metric_learner
from vsearch.training.module import MetricLearner


class GradualUnfreezing(Callback):
    """Freeze stages of the backbone, including BatchNorm, each until a given epoch.

    Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section
    3.3. Parts that aren't in the schedule are trained from the start, unless `freeze` names them.

    The optimizer has every stage from the start: it skips parameters without gradient, also in
    weight decay. On several devices, DDP is configured to expect missing gradients.

    Args:
        schedule: maps a stage, by the name that the backbone's `freeze` takes, to its first epoch
            of training (from 0).
    """

    def __init__(self, schedule: dict[str, int]) -> None:
        if not schedule or min(schedule.values()) < 0:
            raise ValueError(f"schedule: it must give stages an epoch from 0 on, not {schedule}.")
        self.schedule = schedule

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the schedule against the model; warn when the backbone's weights are random."""
        if stage != "fit":
            return
        module = metric_learner(pl_module)
        backbone = module.backbone
        frozen = []
        for name in self.schedule:
            if not all(value.requires_grad for value in backbone.weights_of(name, "schedule")):
                frozen.append(name)
        if frozen:
            raise ValueError(
                f"schedule: the backbone's `freeze` freezes {', '.join(frozen)} for the whole run. "
                "A stage can be in `freeze` or in the schedule, not in both."
            )
        self._check_start(module)
        if isinstance(trainer.strategy, DDPStrategy):
            # Lightning has no public way to set this once the strategy is made.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True

    def _check_start(self, module: MetricLearner) -> None:
        held: set[int] = set()
        for name, start in self.schedule.items():
            if start > 0:
                held.update(map(id, module.backbone.weights_of(name, "schedule")))
        trained = [value for value in module.parameters() if value.requires_grad]
        if all(id(value) in held for value in trained):
            raise ValueError("schedule: nothing is trained in epoch 0: start a stage at 0.")
        if held and module.backbone.origin == "random":
            rank_zero_warn(
                "GradualUnfreezing freezes stages with random weights: that makes little sense, "
                "since these lose information until they are trained."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze: a fit resumed within an epoch doesn't start that epoch again."""
        self._apply(trainer.current_epoch, metric_learner(pl_module))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze and unfreeze for this epoch; say so when something changes."""
        epoch = trainer.current_epoch
        self._apply(epoch, metric_learner(pl_module))
        if epoch == 0 or epoch in self.schedule.values():
            held = [name for name, start in self.schedule.items() if start > epoch]
            rank_zero_info(
                f"GradualUnfreezing, epoch {epoch}: {', '.join(held) or 'nothing'} still frozen."
            )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Unfreeze the module, so that it can be fitted again."""
        if stage == "fit":
            for name in self.schedule:
                for value in metric_learner(pl_module).backbone.weights_of(name, "schedule"):
                    value.requires_grad_(True)

    def _apply(self, epoch: int, module: MetricLearner) -> None:
        # Of nested stages, the later one wins.
        for name, start in sorted(self.schedule.items(), key=lambda item: item[1]):
            for value in module.backbone.weights_of(name, "schedule"):
                value.requires_grad_(epoch >= start)
        # Frozen parts are put in eval mode, so that their BatchNorm doesn't change.
        module.train()
