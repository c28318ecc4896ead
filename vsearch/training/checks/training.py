from typing import Any

from lightning.pytorch import Trainer

from vsearch.errors import ConfigError
from vsearch.training.module import MetricLearner

LENGTHS = ("max_epochs", "max_steps", "limit_train_batches")


def check_training(module: MetricLearner, trainer: Trainer) -> None:
    """Refuse settings of trainer, optimizer and schedule that train nothing."""
    for name in LENGTHS:
        if getattr(trainer, name) == 0:
            raise ConfigError(f"trainer.{name}", "0 trains nothing: set it above 0")
    if (batches := trainer.accumulate_grad_batches) < 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches",
            f"{batches}: set it to 1 or more; 1 means a step after every batch",
        )
    made: Any = module.configure_optimizers()
    groups = made[0][0].param_groups
    # A warm-up may begin at 0.
    if all(group.get("initial_lr", group["lr"]) == 0 for group in groups):
        reason = "0 trains nothing: set it above 0"
        raise ConfigError("model.optimizer.init_args.lr", reason)
    for schedule in made[1]:
        if (gamma := getattr(schedule["scheduler"], "gamma", 1)) <= 0:
            reason = f"{gamma} leaves no learning rate after the first step: set it above 0"
            raise ConfigError("model.lr_scheduler.init_args.gamma", reason)
