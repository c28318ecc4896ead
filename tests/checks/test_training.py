import pytest
from lightning.pytorch import Trainer

from vsearch.checks.config_errors import ConfigError
from vsearch.checks.training import check_training


def check(**settings) -> None:
    check_training(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **settings))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", 0),
        ("max_steps", 0),
        ("limit_train_batches", 0),
        ("limit_train_batches", 0.0),
        ("accumulate_grad_batches", 0),
        ("accumulate_grad_batches", -2),
    ],
)
def test_a_number_with_which_nothing_is_trained_is_refused(name, value):
    with pytest.raises(ConfigError, match=rf"^trainer\.{name}: {int(value)}"):
        check(**{name: value})


def test_numbers_with_which_something_is_trained_are_not_refused():
    check()
    check(max_epochs=-1, limit_train_batches=0.1, accumulate_grad_batches=4)
    check(max_epochs=1, max_steps=1, limit_train_batches=1)
    check(fast_dev_run=True)
