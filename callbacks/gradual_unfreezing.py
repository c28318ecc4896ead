from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.run_objects import metric_learner
from vsearch.training.module import MetricLearner


class GradualUnfreezing(Callback):
    """Freeze stages of the backbone, BatchNorm included, until an epoch of their own.

    Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section
    3.3. What isn't in the schedule is trained from the start, unless `freeze` names it.

    The optimizer holds every stage from the start: it skips parameters without gradient, weight
    decay included. On several devices DDP, which waits for every gradient, is told to look for
    those that don't come.

    Args:
        schedule: stage, by the name that the backbone's `freeze` takes, to the epoch (from 0) that
            it is trained from.
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
                f"schedule: the backbone's `freeze` holds {', '.join(frozen)} for the whole run, "
                "out of the optimizer: a stage can be in `freeze` or in the schedule, not in both."
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
            raise ValueError("schedule: it leaves nothing to train in epoch 0: start a stage at 0.")
        if held and module.backbone.origin == "random":
            rank_zero_warn(
                "GradualUnfreezing holds stages still whose weights are random: that makes little "
                "sense, since they only destroy the photo until they are trained."
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
        """Leave the module as it was, so that it can be fitted again."""
        if stage == "fit":
            for name in self.schedule:
                for value in metric_learner(pl_module).backbone.weights_of(name, "schedule"):
                    value.requires_grad_(True)

    def _apply(self, epoch: int, module: MetricLearner) -> None:
        # Of nested stages, the later one wins.
        for name, start in sorted(self.schedule.items(), key=lambda item: item[1]):
            for value in module.backbone.weights_of(name, "schedule"):
                value.requires_grad_(epoch >= start)
        # What is frozen is put in eval mode, so that its BatchNorm stays still.
        module.train()
