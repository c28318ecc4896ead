"""A fit of an image-text network: its bundle can be searched with words."""

import html
import json

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.losses import TripletMarginLoss
from test_module import data_of, trainer
from tiny_words import clip_folder

from callbacks.build_index import BuildIndex
from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.opening import open_bundle
from vsearch.errors import ConfigError
from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.evaluation.run_report import AxisMetric, RunReport, WordsReport
from vsearch.models.adaptations.lda import LDA
from vsearch.models.backbones.transformers import TransformersBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.plain_text import in_markdown
from vsearch.reports.tables import words_text
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


def test_the_report_says_whether_labels_as_words_find_photos(drawing, colours, tmp_path, capsys):
    module = fit(colours, tmp_path, BuildIndex())
    bundle = tmp_path / "bundle"
    before = TransformersBackbone(str(tmp_path / "clip"), text=True)
    report = json.loads((bundle / "report.json").read_text())
    words = report["words"]
    assert (words["template"], words["queries"]) == ("a photo of a {label}", 4)
    found = words["precision_at_10"]
    assert found["trained"]["value"] == pytest.approx(precision(bundle, module.backbone))
    assert found["untrained"]["value"] == pytest.approx(precision(bundle, before))
    gain = found["trained"]["value"] - found["untrained"]["value"]
    assert words["gain"]["value"] == pytest.approx(gain)

    sentence = words_text(RunReport.from_json(report).words)
    assert '"a photo of a {label}", asked for each of 4 labels' in sentence
    assert in_markdown(sentence) in (bundle / "report.md").read_text()
    assert (
        html.escape(sentence, quote=True).replace("&quot;", "&#34;")
        in (bundle / "report.html").read_text()
    )
    assert "Words:" in capsys.readouterr().out
    assert open_bundle(bundle).search_examples([], text="red", k=3).num_rows == 3


def precision(bundle, backbone):
    """The mean share of items with the label among the ten nearest to its text."""
    items = open_bundle(bundle).items
    photos = embed_photos(TorchRuntime(Embedder(backbone).eval()), items.to_pandas()).embeddings
    shares = []
    for label in sorted(set(items["label"].to_pylist())):
        scores = photos @ backbone.words.embed([f"a photo of a {label}"])[0]
        labels = items["label"].take(np.argsort(-scores)[:10]).to_pylist()
        shares.append(labels.count(label) / 10)
    return np.mean(shares)


@pytest.mark.parametrize(
    ("value", "width", "verdict"),
    [
        (0.1, 0.05, "made it better"),
        (-0.1, 0.05, "made it worse"),
        (-0.1, 0.2, "made it worse, perhaps by chance"),
        (0.0, 0.0, "changed nothing"),
    ],
)
def test_the_sentence_says_which_way_training_went(value, width, verdict):
    estimate = Estimate(0.5, 0.4, 0.6)
    metric = AxisMetric(trained=estimate, untrained=Estimate(0.5 - value, 0.1, 0.9), chance=0.1)
    gain = Difference(value, value - width, value + width, 0.5)
    report = WordsReport(template="{label}", queries=9, precision_at_10=metric, gain=gain)
    assert f"Training has {verdict}: {0.5 - value:.3f} before" in words_text(report)
    alone = WordsReport(
        template="{label}", queries=9, precision_at_10=AxisMetric(trained=estimate, chance=0.1)
    )
    assert words_text(alone).endswith("Before training it was not measured.")
