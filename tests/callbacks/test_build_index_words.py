"""A fit of an image-text network: its bundle can be searched with words."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.losses import TripletMarginLoss
from test_module import data_of, trainer
from tiny_words import clip_folder

from callbacks.build_index import BuildIndex
from vsearch.errors import ConfigError
from vsearch.models.adaptations.lda import LDA
from vsearch.models.backbones.transformers import TransformersBackbone
from vsearch.training.module import MetricLearner

pytest.importorskip("transformers", reason="needs the extra transformers")


def fit(catalog, folder, callback):
    torch.manual_seed(0)
    backbone = TransformersBackbone(str(clip_folder(folder / "clip")), text=True)
    module = MetricLearner(backbone, TripletMarginLoss(0.3))
    kept = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss")
    trainer(folder, 1, callbacks=[kept, callback]).fit(module, data_of(catalog))
    return module


def test_an_adaptation_is_refused_before_training(colours, tmp_path):
    with pytest.raises(ConfigError, match=r"^adaptation: .*another space than the texts'"):
        fit(colours, tmp_path, BuildIndex(adaptation=LDA()))
