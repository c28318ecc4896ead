from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from pytorch_metric_learning import losses, miners
from tiny import TinyBackbone

from vsearch.errors import ConfigError
from vsearch.training.checks.monitors import RIGHT_MODE, check_monitors, logged
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner

OF_A_BATCH = ["train/embedding_spread", "train/active_triplets"]


def check(*callbacks: Callback, **model) -> None:
    keeps = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    trainer = Trainer(
        accelerator="cpu", callbacks=list(callbacks), logger=False, enable_checkpointing=keeps
    )
    check_monitors(
        MetricLearner(TinyBackbone(), losses.TripletMarginLoss(), **model), trainer, OF_A_BATCH
    )


@pytest.mark.parametrize("kind", [EarlyStopping, ModelCheckpoint])
def test_a_metric_that_nothing_logs_is_refused(kind):
    key = rf"trainer\.callbacks\[{kind.__name__}\]\.init_args\.monitor"
    with pytest.raises(
        ConfigError, match=rf"^{key}: nothing logs 'val_loss'; did you mean val/loss\?$"
    ):
        check(kind(monitor="val_loss"))
    for name in logged(OF_A_BATCH):
        check(kind(monitor=name, mode=RIGHT_MODE.get(name, "min")))


@pytest.mark.parametrize("kind", [EarlyStopping, ModelCheckpoint])
def test_a_mode_that_takes_the_worst_is_refused(kind):
    key = rf"trainer\.callbacks\[{kind.__name__}\]\.init_args\.mode"
    for name in ("val/map_at_r", "val/precision_at_1_macro"):
        with pytest.raises(
            ConfigError, match=rf"^{key}: 'min' keeps the worst {name}, .*higher.*: set it to max$"
        ):
            check(kind(monitor=name))
    for name in ("val/loss", "train/loss_epoch"):
        with pytest.raises(
            ConfigError, match=rf"^{key}: 'max' keeps the worst {name}, .*lower.*: set it to min$"
        ):
            check(kind(monitor=name, mode="max"))
    check(kind(monitor="train/embedding_spread"), kind(monitor="train/active_triplets", mode="max"))
    check(ModelCheckpoint())
    with pytest.raises(ConfigError, match=r"\.mode: "):
        check(EarlyStopping("val/map_at_r", strict=False))


def test_a_schedules_metric_is_checked_too():
    with pytest.raises(
        ConfigError, match=r"^model\.lr_scheduler\.init_args\.monitor: .*available: val/loss"
    ):
        check(lr_scheduler=partial(ReduceLROnPlateau, monitor="accuracy"))
    with pytest.raises(
        ConfigError, match=r"^model\.lr_scheduler\.init_args\.mode: 'min' .*: set it to max$"
    ):
        check(lr_scheduler=partial(ReduceLROnPlateau, monitor="val/map_at_r"))
    check(lr_scheduler=partial(ReduceLROnPlateau, monitor="val/map_at_r", mode="max"))
    with pytest.raises(
        ConfigError, match=r"^model\.lr_scheduler: .*lightning\.pytorch\.cli\.ReduceLROnPlateau"
    ):
        check(lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_an_unknown_metric_is_let_through_where_it_may_be_logged(caplog):
    class LogsItsOwn(Callback):
        pass

    check(EarlyStopping("own", strict=False))
    assert "own" not in caplog.text
    check(EarlyStopping("val/own"), LogsItsOwn())
    assert "'val/own'" in caplog.text


@pytest.mark.parametrize("miner", [miners.BatchHardMiner(), miners.MultiSimilarityMiner(), None])
def test_the_known_metrics_are_those_that_a_fit_logs(miner, colours, tmp_path):
    data = CatalogDataModule(colours, classes_per_batch=4, photos_per_class=2)
    module = MetricLearner(TinyBackbone(), losses.TripletMarginLoss(), miner)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    vectors, labels = torch.eye(8), torch.arange(8) // 2
    diagnosed = module.diagnose(vectors, labels, miner and miner(vectors, labels))
    assert ("train/active_triplets" in diagnosed) == isinstance(miner, miners.BatchHardMiner)
    assert set(trainer.callback_metrics) == set(logged(diagnosed))
