import warnings
from types import SimpleNamespace

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss

from callbacks.collapse import WarnOnCollapse, _margin


@pytest.mark.parametrize(
    ("loss", "margin", "spread", "reason"),
    [
        (0.1, 0.3, 0.6, None),
        (0.1, None, 0.6, None),
        (0.1, 0.3, 0.01, "collapsing to one point"),
        (0.3, 0.3, 0.6, "stuck at the margin"),
        (0.295, 0.3, 0.6, "stuck at the margin"),
        (0.28, 0.3, 0.6, None),
        (0.4, 0.3, 0.6, None),
    ],
)
def test_the_decision(loss, margin, spread, reason):
    found = WarnOnCollapse().reason(loss, margin, spread)
    assert (found is None) if reason is None else (reason in found)


def epoch_end(callback: WarnOnCollapse, **values: float) -> None:
    metrics = {name.replace("_", "/", 1): torch.tensor(value) for name, value in values.items()}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=3)
    callback.on_train_epoch_end(trainer, SimpleNamespace(loss=TripletMarginLoss(0.3)))


def test_a_collapsing_epoch_warns_with_its_number():
    with pytest.warns(
        UserWarning, match=r"Epoch 3: the embeddings are collapsing.*Lower the learning rate"
    ):
        epoch_end(WarnOnCollapse(), train_loss_epoch=0.3, train_embedding_spread=0.001)


@pytest.mark.filterwarnings("error")
def test_a_sound_epoch_and_one_without_these_metrics_say_nothing():
    epoch_end(WarnOnCollapse(), train_loss_epoch=0.1, train_embedding_spread=0.8)
    epoch_end(WarnOnCollapse(), train_loss_epoch=0.3)


def test_no_warning_while_validation_still_improves():
    callback = WarnOnCollapse()
    near = {"train_loss_epoch": 0.3, "train_embedding_spread": 0.01}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epoch_end(callback, **near, val_precision_at_1=0.2)
        epoch_end(callback, **near, val_precision_at_1=0.3)
    with pytest.warns(UserWarning, match="collapsing"):
        epoch_end(callback, **near, val_precision_at_1=0.3)


def test_only_a_triplet_losss_margin_is_a_distance():
    assert _margin(TripletMarginLoss(0.2)) == 0.2
    assert _margin(ArcFaceLoss(num_classes=3, embedding_size=4)) is None
