import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    ContrastiveLoss,
    CrossBatchMemory,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from tiny import TinyBackbone
from torch import nn
from torch.utils.data import DataLoader

from vsearch.data.splits import LabelDisjointSplit, StratifiedSplit
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.dataset import as_it_is
from vsearch.training.losses.axes import AxisLoss
from vsearch.training.module import MetricLearner
from vsearch.training.samplers.batches import EpochBatches
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.samplers.random import RandomPlan


def learner(loss=None, miner=True, **arguments) -> MetricLearner:
    seed_everything(0, verbose=False)
    return MetricLearner(
        TinyBackbone(**arguments.pop("backbone", {})),
        loss or TripletMarginLoss(0.3, reducer=MeanReducer()),
        BatchHardMiner() if miner else None,
        **{"optimizer": lambda parameters: torch.optim.Adam(parameters, 0.01), **arguments},
    )


def data_of(catalog, **arguments) -> CatalogDataModule:
    split = arguments.pop("split", StratifiedSplit(0.6, 0.2, 0.2))
    return CatalogDataModule(catalog, split, arguments.pop("classes_per_batch", 4), 4, **arguments)


def trainer(tmp_path, epochs: int = 2, **arguments) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        default_root_dir=tmp_path,
        accelerator="cpu",
        **{"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        | {
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "callbacks": [ModelCheckpoint(tmp_path / "checkpoints", save_last=True)],
        }
        | arguments,
    )


def fitted(
    colours, tmp_path, model=None, epochs: int = 2, **arguments
) -> tuple[MetricLearner, Trainer]:
    model, run = model or learner(), trainer(tmp_path, epochs, **arguments)
    run.fit(model, data_of(colours))
    return model, run


def test_embeddings_are_unit_vectors():
    embeddings = learner().eval()(torch.randn(5, 3, 16, 16))
    assert embeddings.shape == (5, 8)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(5))


def test_embeddings_are_unit_vectors_in_float32_under_bfloat16():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = learner().eval()(torch.randn(50, 3, 16, 16))
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(50), atol=1e-6)


def test_it_learns_and_logs_what_it_promises(colours, tmp_path):
    _, run = fitted(colours, tmp_path, epochs=6)
    values = run.callback_metrics
    assert {"train/loss", "train/active_triplets", "train/embedding_spread"} <= set(values)
    assert {"train/positive_distance_l2sq", "train/negative_distance_l2sq", "val/loss"} <= set(
        values
    )
    for name in ("precision_at_1", "cmc_at_10", "map_at_r", "r_precision"):
        assert 0.9 < values[f"val/{name}"] <= 1
        assert 0.9 < values[f"val/{name}_macro"] <= 1
    assert values["val/loss"] < 0.1


def test_what_is_frozen_is_bit_identical_after_a_fit(colours, tmp_path):
    model = learner(backbone={"frozen": True})
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    fitted(colours, tmp_path, model)
    moved = {
        name
        for name, value in model.backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if name.startswith("head.")}


def test_a_resumed_fit_goes_on_with_the_same_numbers(colours, tmp_path):
    schedule = {
        "lr_scheduler": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    }
    model, run = fitted(colours, tmp_path / "whole", learner(warmup_steps=4, **schedule), epochs=4)
    fitted(colours, tmp_path / "part", learner(warmup_steps=4, **schedule), epochs=2)
    resumed, rest = learner(warmup_steps=4, **schedule), trainer(tmp_path / "part", 4)
    torch.manual_seed(99)
    np.random.seed(99)
    rest.fit(resumed, data_of(colours), ckpt_path=tmp_path / "part" / "checkpoints" / "last.ckpt")
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert rest.callback_metrics["val/loss"] == run.callback_metrics["val/loss"]


def test_warmup_rises_each_batch_and_the_schedule_falls_each_epoch(colours, tmp_path):
    seen = []

    class Watched(MetricLearner):
        def on_train_batch_start(self, *args) -> None:
            seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    model = learner(
        warmup_steps=2,
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    )
    model.__class__ = Watched
    fitted(colours, tmp_path, model, epochs=2)
    assert seen == pytest.approx([0.0001, 0.00505, 0.01, 0.005, 0.005, 0.005], rel=1e-6)


def test_a_plateau_schedule_watches_the_metric_it_names(colours, tmp_path):
    from lightning.pytorch.cli import ReduceLROnPlateau

    model = learner(
        lr_scheduler=lambda optimizer: ReduceLROnPlateau(
            optimizer, "val/loss", patience=0, mode="max"
        )
    )
    _, run = fitted(colours, tmp_path, model, epochs=4)
    assert run.optimizers[0].param_groups[0]["lr"] < 0.01


def test_a_losss_own_weights_are_trained_and_checkpointed(colours, tmp_path):
    loss = ArcFaceLoss(num_classes=4, embedding_size=8)
    before = loss.W.detach().clone()
    model, _ = fitted(colours, tmp_path, learner(loss, miner=False))
    assert not torch.equal(model.loss.W, before)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["loss.W"], model.loss.W)


def test_validation_loss_is_that_of_the_fixed_batches(colours, tmp_path):
    model, run = fitted(colours, tmp_path)
    data = run.datamodule
    photos, labels, _ = next(
        iter(DataLoader(data.val_dataloader().dataset, batch_size=1000, collate_fn=as_it_is))
    )
    model.eval()
    losses = []
    for batch in EpochBatches(PKPlan(), labels.numpy(), 4, 4, data.seed):
        chosen = [position for position, _ in batch]
        with torch.no_grad():
            embeddings = model(photos[chosen])
            losses.append(
                model.loss(
                    embeddings, labels[chosen], model.miner(embeddings, labels[chosen])
                ).item()
            )
    assert run.callback_metrics["val/loss"].item() == pytest.approx(np.mean(losses), abs=1e-5)


class Seen(nn.Module):
    """Turns photos black, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        self.count += len(photos)
        return torch.zeros_like(photos)


def test_batches_are_augmented_in_training_alone(colours, tmp_path):
    seen, data = Seen(), data_of(colours)
    data.batch_augment = seen
    run = trainer(tmp_path, 1)
    run.fit(learner(), data)
    assert seen.count == 4 * 4 * run.num_training_batches
    assert run.callback_metrics["train/embedding_spread"] < 1e-4
    assert run.callback_metrics["val/precision_at_1"] > 0.5
    run.test(run.lightning_module, data, verbose=False)
    assert seen.count == 4 * 4 * run.num_training_batches


def test_test_searches_the_gallery_and_predict_gives_rows_and_vectors(colours, tmp_path):
    model, run = fitted(colours, tmp_path, epochs=6)
    results = run.test(model, data_of(colours), verbose=False)[0]
    assert results["test/precision_at_1"] > 0.9
    assert "test/ndcg_at_10_macro" in results
    rows, vectors = map(torch.cat, zip(*run.predict(model, data_of(colours)), strict=True))
    assert rows.tolist() == list(range(80))
    assert vectors.shape == (80, 8)


def test_unseen_labels_are_searched_among_themselves(colours, tmp_path):
    model, run = learner(), trainer(tmp_path, 6)
    data = CatalogDataModule(colours, LabelDisjointSplit(0.5, 0.5, 0), 2, 4)
    run.fit(model, data)
    assert data.part("train")["label"].nunique() == data.part("val")["label"].nunique() == 2
    assert (
        run.test(model, data, verbose=False)[0]["test/precision_at_1"]
        == run.callback_metrics["test/precision_at_1"]
    )
    assert run.callback_metrics["test/precision_at_1"] > 0.6


def test_too_few_val_photos_to_score_warn_and_do_not_stop_the_run(colours, tmp_path):
    run = trainer(tmp_path, 1, limit_val_batches=1, callbacks=[])
    with pytest.warns(UserWarning, match="too few val photos to score"):
        run.fit(learner(), data_of(colours, eval_batch_size=1))
    assert "val/loss" not in run.callback_metrics


def test_fast_dev_run(colours, tmp_path):
    Trainer(fast_dev_run=True, accelerator="cpu", default_root_dir=tmp_path, logger=False).fit(
        learner(), data_of(colours)
    )


def test_the_training_miner_mines_training_batches_only(colours, tmp_path):
    calls = {"training": 0, "validation": 0}

    def counting(name: str) -> nn.Module:
        class Counting(BatchHardMiner):
            def forward(self, *args):
                calls[name] += 1
                return super().forward(*args)

        return Counting()

    model = learner()
    model.miner, model.training_miner = counting("validation"), counting("training")
    fitted(colours, tmp_path, model, epochs=1)
    assert min(calls.values()) > 0
    model.training_miner = None
    before = dict(calls)
    fitted(colours, tmp_path / "again", model, epochs=1)
    assert calls["training"] == before["training"]
    assert calls["validation"] > 2 * before["validation"]


def test_a_cross_batch_memory_does_not_remember_val_photos(colours, tmp_path):
    memory = CrossBatchMemory(TripletMarginLoss(0.3), 8, 64, BatchHardMiner())
    seen = []

    class Watched(MetricLearner):
        def on_validation_epoch_end(self) -> None:
            before = memory.embedding_memory.clone()
            super().on_validation_epoch_end()
            seen.append(torch.equal(before, memory.embedding_memory))

    model = learner(memory, miner=False)
    model.__class__ = Watched
    _, run = fitted(colours, tmp_path, model)
    assert seen == [True, True]
    assert memory.embedding_memory.abs().sum() > 0
    assert 0 < run.callback_metrics["val/loss"] < 1


def test_learning_rates_of_parts(colours, tmp_path):
    model = learner(
        ArcFaceLoss(num_classes=4, embedding_size=8), miner=False, lr_factors={"loss": 10.0}
    )
    _, run = fitted(colours, tmp_path, model, epochs=1)
    groups = {group["lr_factor"]: group["lr"] for group in run.optimizers[0].param_groups}
    assert groups == {1.0: pytest.approx(0.01), 10.0: pytest.approx(0.1)}


def with_axes(**arguments) -> MetricLearner:
    losses = {"shelf": AxisLoss(), "rare": AxisLoss(weight=0.5)}
    codes = {"shelf": np.arange(80) % 3, "rare": np.where(np.arange(80) < 4, np.arange(80) % 2, -1)}
    return learner(axis_losses=losses, axis_codes=codes, **arguments)


def test_axes_are_trained_logged_checkpointed_and_resumed(colours, tmp_path):
    model, run = fitted(colours, tmp_path / "whole", with_axes(lr_factors={"loss": 10.0}), epochs=4)
    assert {"train/loss", "train/loss_shelf", "train/loss_rare"} <= set(run.callback_metrics)
    groups = {group["lr_factor"]: len(group["params"]) for group in run.optimizers[0].param_groups}
    assert groups[10.0] == 2  # the values' centres

    fitted(colours, tmp_path / "part", with_axes(lr_factors={"loss": 10.0}), epochs=2)
    resumed, rest = with_axes(lr_factors={"loss": 10.0}), trainer(tmp_path / "part", 4)
    rest.fit(resumed, data_of(colours), ckpt_path=tmp_path / "part" / "checkpoints" / "last.ckpt")
    before = with_axes().state_dict()
    assert {"axis_losses.losses.0.W", "axis_losses.losses.1.W"} < set(before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
        assert not name.startswith("axis_losses") or not torch.equal(value, before[name])


def test_a_step_is_the_labels_loss_and_each_axis_by_its_weight(colours):
    model = with_axes()
    model.log = model.log_dict = lambda *_, **__: None
    photos = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    rows = torch.tensor([0, 70, 1, 2, 60, 50])
    found = model.eval().training_step((photos, labels, rows), 0)

    embeddings = model(photos)
    label, (shelf, rare) = model.loss, model.axis_losses.losses
    wanted = label(embeddings, labels, model.miner(embeddings, labels)) + shelf(
        embeddings, rows % 3
    )
    wanted += 0.5 * rare(embeddings[[0, 2, 3]], torch.tensor([0, 1, 0]))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_what_a_batch_has_no_pairs_for_is_not_logged():
    embeddings = torch.eye(4)
    found = learner().diagnose(embeddings, torch.arange(4), None)
    assert set(found) == {"train/negative_distance_l2sq", "train/embedding_spread"}
    assert "train/negative_distance_l2sq" not in learner().diagnose(
        embeddings, torch.zeros(4), None
    )


def test_a_batch_without_a_pair_leaves_the_epochs_mean_a_number(colours, tmp_path):
    data = data_of(colours, sampler=RandomPlan())
    data.photos_per_class = 1  # batches of 4 photos: some have no two of a label
    seen = []
    model = learner(ContrastiveLoss(), miner=False)
    model.diagnose = lambda *batch: seen.append(MetricLearner.diagnose(model, *batch)) or seen[-1]
    run = trainer(tmp_path, 1)
    run.fit(model, data)
    name = "train/positive_distance_l2sq"
    values = [float(found[name]) for found in seen if name in found]
    assert 0 < len(values) < len(seen)
    assert float(run.callback_metrics[name]) == pytest.approx(np.mean(values), rel=1e-4)
