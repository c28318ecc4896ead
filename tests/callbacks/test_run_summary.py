import re
from types import SimpleNamespace

import pytest
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss
from tiny import TinyBackbone

from callbacks.run_summary import ShowRun
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.heads.linear import LinearHead
from vsearch.training.memory import expected_bytes
from vsearch.training.module import MetricLearner


def learner(backbone: Backbone, loss=None, head=None) -> MetricLearner:
    return MetricLearner(backbone, loss or TripletMarginLoss(), head=head)


def shown(capsys, module: MetricLearner, rank_zero: bool = True) -> str:
    trainer = SimpleNamespace(
        is_global_zero=rank_zero,
        datamodule=SimpleNamespace(classes_per_batch=4, photos_per_class=2),
    )
    ShowRun().on_fit_start(trainer, module)
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    _, _, table = text.partition("─\n")
    lines, _, _ = table.partition("\n\n")
    return [re.split("  +", line.strip()) for line in lines.splitlines()]


def test_blocks_their_shares_and_what_is_frozen(capsys):
    # stem: 8*3*9 + 8 + 2*8 = 240; head: 32*8 + 8 + 2*8 = 280
    assert rows(shown(capsys, learner(TinyBackbone(frozen=True)))) == [
        ["stem", "240", "46.2%", "frozen"],
        ["head", "280", "53.8%", "yes"],
        ["all", "520", "100.0%", "280 (53.8%)"],
    ]


def test_a_block_that_is_trained_in_part(capsys):
    backbone = TinyBackbone()
    backbone.head[2].requires_grad_(False)
    assert rows(shown(capsys, learner(backbone))) == [
        ["stem", "240", "46.2%", "yes"],
        ["head", "280", "53.8%", "in part"],
        ["all", "520", "100.0%", "256 (49.2%)"],
    ]


def test_head_and_loss_have_rows_when_they_have_weights(capsys):
    module = learner(TinyBackbone(), ArcFaceLoss(num_classes=10, embedding_size=3), LinearHead(3))
    assert rows(shown(capsys, module))[2:] == [
        ["head", "27", "4.7%", "yes"],
        ["loss", "30", "5.2%", "yes"],
        ["all", "577", "100.0%", "577 (100.0%)"],
    ]


def test_resnet50_has_lost_its_classifier_and_layer4_is_58_6_percent_of_the_whole(capsys):
    backbone = TorchvisionBackbone("resnet50", None, image_size=32)
    backbone.model.layer1.requires_grad_(False)
    found = {row[0]: row[1:] for row in rows(shown(capsys, learner(backbone)))}
    assert list(found) == [
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "fc (removed)",
        "all",
    ]
    assert found["layer4"] == ["14,964,736", "58.6%", "yes"]
    assert found["fc (removed)"] == ["2,049,000", "8.0%", "-"]
    assert found["all"] == ["25,557,032", "100.0%", "23,292,224 (91.1%)"]


@pytest.mark.parametrize("size", [16, 1024])
def test_origin_and_the_memory_of_one_batch(capsys, size):
    module = learner(TinyBackbone(size=size))
    module.backbone.origin = "file mine.pth"
    needed = expected_bytes(module.embedder, module.loss, 8) / 2**30
    assert (
        f"Weights from: file mine.pth. Training expects about {needed:.1f} GiB of memory."
        in shown(capsys, module)
    )
    assert (needed > 0.1) == (size == 1024)


def test_weights_that_could_not_be_had_are_named(capsys):
    module = learner(TinyBackbone())
    module.backbone.wanted = "torchvision X.V1"
    assert "Weights from: random (torchvision X.V1 could not be downloaded). " in shown(
        capsys, module
    )


def test_only_the_first_process_prints(capsys):
    assert shown(capsys, learner(TinyBackbone()), rank_zero=False) == ""
