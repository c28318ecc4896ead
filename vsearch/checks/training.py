from lightning.pytorch import Trainer

from vsearch.checks.config_errors import ConfigError

LENGTHS = ("max_epochs", "max_steps", "limit_train_batches")


def check_training(trainer: Trainer) -> None:
    """Refuse numbers of the trainer with which nothing is trained.

    Raises:
        ConfigError: such a number.
    """
    for name in LENGTHS:
        if getattr(trainer, name) == 0:
            raise ConfigError(f"trainer.{name}", "0, so that nothing is trained: set it above 0")
    if (batches := trainer.accumulate_grad_batches) < 1:
        raise ConfigError("trainer.accumulate_grad_batches", f"{batches}: set it to 1 or more; 1 is a step every batch")
