from functools import partial

import pytest
from lightning.pytorch import Trainer
from pytorch_metric_learning import losses
from tiny import TinyBackbone
from torch.optim import SGD, lr_scheduler

from vsearch.errors import ConfigError
from vsearch.training.checks.training import check_training
from vsearch.training.module import MetricLearner


def check(model: dict | None = None, **settings) -> None:
    module = MetricLearner(TinyBackbone(), losses.TripletMarginLoss(), **(model or {}))
    check_training(
        module, Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **settings)
    )


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


def test_a_learning_rate_of_0_is_refused_unless_it_rises():
    with pytest.raises(ConfigError, match=r"^model\.optimizer\.init_args\.lr: 0 trains nothing"):
        check({"optimizer": partial(SGD, lr=0.0)})
    rising = partial(lr_scheduler.LambdaLR, lr_lambda=float)
    check({"optimizer": partial(SGD, lr=0.1), "lr_scheduler": rising})
    with pytest.raises(ConfigError, match=r"\.lr: "):
        check({"optimizer": partial(SGD, lr=0.0), "lr_scheduler": rising, "warmup_steps": 3})


@pytest.mark.parametrize("gamma", [0, -0.5])
def test_a_schedule_that_ends_learning_is_refused(gamma):
    for kind in (partial(lr_scheduler.ExponentialLR), partial(lr_scheduler.StepLR, step_size=2)):
        check({"lr_scheduler": partial(kind, gamma=0.5)})
        with pytest.raises(
            ConfigError, match=rf"^model\.lr_scheduler\.init_args\.gamma: {gamma} leaves no"
        ):
            check({"lr_scheduler": partial(kind, gamma=gamma)})
