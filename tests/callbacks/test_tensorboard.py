from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_module import data_of, learner, trainer
from torchvision.transforms.v2.functional import pil_to_tensor

from callbacks.build_index import BuildIndex
from callbacks.log_class_metrics import LogClassMetrics
from callbacks.log_throughput import LogThroughput
from callbacks.show_batches import ShowBatches
from callbacks.show_mined import Mined, ShowMined, among, hardest
from callbacks.show_projector import SPRITE, ShowProjector, thumbnails
from callbacks.show_worst_queries import ShowWorstQueries
from callbacks.tensorboard import batch_photos
from vsearch.reports.grid import CAPTION, CELL, GAP


def everything(folder: Path) -> list:
    return [
        ShowBatches(),
        ShowMined(n=3),
        LogClassMetrics(["precision_at_1"], most=2),
        ShowWorstQueries(n=2, k=3),
        LogThroughput(),
        ModelCheckpoint(folder / "checkpoints", monitor="val/loss"),
        BuildIndex(baseline=False),
        ShowProjector(most=10),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from tiny import ColourCatalog

    folder = tmp_path_factory.mktemp("run")
    catalog = ColourCatalog(str(folder / "colours"))
    fit = trainer(
        folder,
        2,
        callbacks=everything(folder),
        logger=TensorBoardLogger(folder, name="", version=""),
    )
    fit.fit(learner(), data_of(catalog))
    seen = EventAccumulator(str(folder), {"images": 0, "scalars": 0})
    seen.Reload()
    return folder, fit, seen


def picture(seen: EventAccumulator, tag: str) -> np.ndarray:
    import io

    return np.asarray(
        Image.open(io.BytesIO(seen.Images(tag)[-1].encoded_image_string)).convert("RGB")
    )


def rows_and_columns(sheet: np.ndarray) -> tuple[int, int]:
    return sheet.shape[0] // (CELL + CAPTION + GAP), sheet.shape[1] // (CELL + GAP)


def test_an_epochs_first_batch_is_shown_label_by_label(run):
    _, _, seen = run
    assert len(seen.Images("train/batch")) == 2
    assert rows_and_columns(picture(seen, "train/batch")) == (4, 4)


def test_what_the_miner_picked_is_shown(run):
    assert rows_and_columns(picture(run[2], "train/mined")) == (3, 3)


def test_the_worst_queries_are_shown_with_their_hits(run):
    assert len(run[2].Images("val/worst queries")) == 2
    assert rows_and_columns(picture(run[2], "val/worst queries")) == (2, 4)


def test_labels_and_throughput_are_logged(run):
    _, fit, seen = run
    tags = [tag for tag in seen.Tags()["scalars"] if tag.startswith("class/")]
    assert len(tags) == 2
    scores = fit.lightning_module.validated.scores
    names = fit.datamodule.label_names
    for tag in tags:
        own = scores.labels == names.index(tag.rpartition("/")[2])
        assert seen.Scalars(tag)[-1].value == pytest.approx(
            scores.model["precision_at_1"][own].mean()
        )
    assert [one.value > 0 for one in seen.Scalars("train/photos_per_s")] == [True, True]


def test_the_projector_gets_thumbnails_labels_and_ids(run):
    folder, fit, _ = run
    (table,) = folder.rglob("metadata.tsv")
    lines = table.read_text().splitlines()
    items = fit.datamodule.items.set_index("id")["label"]
    assert lines[0] == "label\tid"
    assert len(lines) == 11
    assert all(items[line.split("\t")[1]] == line.split("\t")[0] for line in lines[1:])
    vectors = np.loadtxt(table.with_name("tensors.tsv"), delimiter="\t")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    with Image.open(table.with_name("sprite.png")) as sprite:
        assert sprite.size == (4 * 64, 4 * 64)


def test_without_tensorboard_nothing_is_drawn(colours, tmp_path):
    fit = trainer(tmp_path, 1, callbacks=everything(tmp_path), logger=CSVLogger(tmp_path))
    fit.fit(learner(), data_of(colours))
    assert not list(tmp_path.rglob("*sprite*"))


def test_a_fit_without_a_bundle_has_no_projector(colours, tmp_path):
    logger = TensorBoardLogger(tmp_path)
    with pytest.warns(UserWarning, match="ShowProjector: no embeddings"):
        trainer(tmp_path, 1, callbacks=[ShowProjector()], logger=logger).fit(
            learner(), data_of(colours)
        )


def test_the_hardest_triplets_by_hand():
    angles = torch.tensor([0.0, 0.1, 0.5, 2.0])
    cosines = torch.cos(angles[:, None] - angles[None])
    mined = tuple(torch.tensor(side) for side in ([0, 1, 2, 0], [1, 0, 0, 2], [2, 3, 3, 1]))
    # cos d(a, p) - cos d(a, n): 0: .995 - .878, 1: .995 + .323, 2: .878 - .071, 0: .878 - .995
    assert hardest(cosines, mined, 9) == [
        Mined(0, 2, 1),
        Mined(2, 0, 3),
        Mined(1, 0, 3),
    ]
    assert len(hardest(cosines, mined, 1)) == 1
    nothing = tuple(torch.zeros(0, dtype=torch.long) for _ in range(3))
    assert hardest(cosines, nothing, 3) == []


def test_of_a_joint_batch_only_what_is_of_the_first_photos_is_shown():
    triplets = tuple(torch.tensor(side) for side in ([0, 1, 3], [1, 0, 2], [2, 3, 0]))
    assert [side.tolist() for side in among(triplets, 3)] == [[0], [1], [2]]
    pairs = tuple(torch.tensor(side) for side in ([0, 3], [1, 0], [2, 0, 1], [1, 4, 3]))
    assert [side.tolist() for side in among(pairs, 3)] == [[0], [1], [2], [1]]


def test_the_hardest_pairs_by_hand():
    angles = torch.tensor([0.0, 0.1, 0.5, 2.0])
    cosines = torch.cos(angles[:, None] - angles[None])
    pairs = tuple(torch.tensor(side) for side in ([0, 1], [1, 3], [0, 2], [3, 3]))
    assert hardest(cosines, pairs, 2) == [Mined(1, positive=3), Mined(2, negative=3)]
    assert hardest(cosines, pairs, 9) == [
        Mined(1, positive=3),
        Mined(0, positive=1),
        Mined(2, negative=3),
        Mined(0, negative=3),
    ]


def test_maps_are_shown_as_their_files_and_photos_as_they_are(run):
    data = run[1].datamodule
    path = data.items["path"].iloc[5]
    with Image.open(path) as photo:
        pixels = pil_to_tensor(photo.convert("RGB"))
    rows = torch.tensor([5])
    (shown,) = batch_photos((torch.zeros(1, 8, 2, 2), rows, rows), [0], data)
    assert torch.equal(pil_to_tensor(shown), pixels)
    (shown,) = batch_photos((255 - pixels[None], rows, rows), [0], data)
    assert torch.equal(pil_to_tensor(shown), 255 - pixels)


@pytest.mark.parametrize("n", [1, 100, 30_000])
def test_thumbnails_fit_into_a_sprite(n, monkeypatch):
    monkeypatch.setattr(
        "callbacks.show_projector.read_square",
        lambda path, square, box: np.zeros((3, square.size, 1), dtype=np.uint8),
    )
    side = thumbnails(pd.DataFrame({"path": ["there"] * n})).shape[2]
    assert side == {1: 64, 100: 64, 30_000: 47}[n]
    assert side * np.ceil(np.sqrt(n)) <= SPRITE


def test_a_missing_photo_has_a_grey_thumbnail(tmp_path):
    made = thumbnails(pd.DataFrame({"path": [str(tmp_path / "gone.jpg")]}))
    assert made.unique().tolist() == pytest.approx([128 / 255])


@pytest.mark.parametrize("most", [0, 10**6])
def test_as_many_items_as_a_browser_shows(most):
    with pytest.raises(ValueError, match=r"most: it must be 1 to 262,144"):
        ShowProjector(most)
