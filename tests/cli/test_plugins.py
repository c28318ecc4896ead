import sys
from pathlib import Path

import pytest
import yaml

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.errors import BundleError

TRIPLET = Path(__file__).parents[2] / "configs" / "triplet.yaml"
PLUGINS = '''
import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback
from PIL import Image
from torch import nn

from vsearch.models.backbones.base import Backbone
from vsearch.data.catalogs.base import Catalog
from vsearch.data.photos import Preprocessing
from vsearch.indexes.base import Index


class MeanColour(Backbone):
    """Learns from the mean of each channel in four corners."""

    def __init__(self, dim: int = 6, side: int = 8) -> None:
        super().__init__()
        self.dim, self.side, self.origin = dim, side, "random"
        self.preprocessing = Preprocessing(side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, dim))

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return self.layers(photos)


class PairwiseLoss(nn.Module):
    """Pulls same labels together and pushes others apart; has a weight of its own."""

    def __init__(self, sharpness: float = 1.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))

    def forward(self, embeddings, labels, mined=None):
        same = (labels[:, None] == labels[None, :]).float()
        logits = self.sharpness * embeddings @ embeddings.T
        return nn.functional.binary_cross_entropy_with_logits(logits, same)


class Diary(Callback):
    """Writes down each epoch."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        with open(self.file, "a") as diary:
            diary.write(f"epoch {trainer.current_epoch}\\n")


class BruteForce(Index):
    """Exact search in NumPy."""

    def __init__(self, note: str = "plain") -> None:
        self.spec, self.rows = f"NumPy, {note}", np.empty((0, 0), dtype=np.float32)

    def build(self, embeddings):
        self.rows = embeddings

    def add(self, embeddings):
        self.rows = np.concatenate([self.rows, embeddings])

    def remove(self, positions):
        self.rows = np.delete(self.rows, positions, axis=0)

    def search(self, queries, k, allowed=None):
        rows = np.arange(len(self)) if allowed is None else np.flatnonzero(allowed)
        scores = queries @ self.rows[rows].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, axis=1), rows[best]

    def vectors(self, positions):
        return self.rows[positions]

    def save(self, folder):
        np.save(folder / "rows.npy", self.rows)
        return ["rows.npy"]

    @classmethod
    def open(cls, folder):
        opened = cls("opened again")
        opened.rows = np.load(folder / "rows.npy")
        return opened

    def __len__(self):
        return len(self.rows)


class Stripes(Catalog):
    """Photos of one colour a label, drawn into a folder."""

    def __init__(self, folder: str, per_label: int = 12) -> None:
        self.folder, self.per_label = folder, per_label

    def read(self) -> pd.DataFrame:
        rows = []
        for label, colour in {"dark": 20, "middle": 120, "light": 230}.items():
            for number in range(self.per_label):
                path = f"{self.folder}/{label}{number}.png"
                Image.new("RGB", (9, 9), (colour, colour, number)).save(path)
                item_id = f"{label}{number}"
                rows.append({"id": item_id, "path": path, "label": label, "shade": colour})
        return pd.DataFrame(rows)
'''


@pytest.fixture
def overlay(tmp_path, monkeypatch) -> Path:
    """A user's folder: my_plugins.py beside an overlay that names its classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_plugins", raising=False)
    (tmp_path / "my_plugins.py").write_text(PLUGINS)
    (tmp_path / "drawn").mkdir()
    index = {"class_path": "my_plugins.BruteForce", "init_args": {"note": "mine"}}
    settings = {
        "model": {
            "backbone": {"class_path": "my_plugins.MeanColour", "init_args": {"dim": 5}},
            "loss": {"class_path": "my_plugins.PairwiseLoss", "init_args": {"sharpness": 3.0}},
            "miner": None,
        },
        "data": {
            "catalog": {"class_path": "my_plugins.Stripes", "init_args": {"folder": "drawn"}},
            "axes": [],
            "split": {"init_args": {"train": 0.6, "val": 0.2, "test": 0.2}},
            "classes_per_batch": 3,
            "photos_per_class": 2,
            "num_workers": 0,
        },
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 2,
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "init_args": {"monitor": "val/loss", "filename": "best"},
                },
                {"class_path": "callbacks.build_index.BuildIndex", "init_args": {"index": index}},
                {"class_path": "my_plugins.Diary", "init_args": {"file": "diary.txt"}},
            ],
        },
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    yield tmp_path / "mine.yaml"
    sys.modules.pop("my_plugins", None)


def fitted(overlay: Path) -> Path:
    main(["fit", "--config", str(TRIPLET), "--config", str(overlay)])
    return overlay.parent / "lightning_logs" / "version_0" / "bundle"


def test_a_users_own_classes_are_fitted_stored_and_served(overlay):
    opened = open_bundle(fitted(overlay))
    import my_plugins

    assert type(opened.runtime.network.backbone) is my_plugins.MeanColour
    assert type(opened.index) is my_plugins.BruteForce
    assert opened.manifest["backbone"]["init_args"] == {"dim": 5, "side": 8}
    assert opened.manifest["index"]["class_path"] == "my_plugins.BruteForce"
    assert opened.manifest["index"]["spec"] == "NumPy, mine"
    assert opened.manifest["index"]["recall_at_10"] == 1
    assert opened.manifest["protocol"]["catalog"] == "Stripes"
    assert opened.index.rows.shape == (len(opened.items), 5)
    assert (overlay.parent / "diary.txt").read_text() == "epoch 0\nepoch 1\n"


def test_what_is_served_finds_the_right_labels(overlay, capsys):
    bundle = fitted(overlay)
    assert "PHOTO -k 10 --plugins my_plugins\n" in capsys.readouterr().out
    main(["search", str(bundle), "drawn/dark3.png", "drawn/light3.png", "-k", "1"])
    text = capsys.readouterr().out
    assert "dark" in text
    assert "light" in text
    opened = open_bundle(bundle)
    hits = opened.search(opened.items["path"].to_pylist(), 1)
    assert [hit["label"][0].as_py() for hit in hits] == opened.items["label"].to_pylist()


def test_a_losss_own_weight_is_trained(overlay):
    import torch

    run = fitted(overlay).parent
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert saved["loss.sharpness"].item() != 3.0


def test_without_its_file_the_bundle_says_what_is_missing(overlay, monkeypatch):
    bundle = fitted(overlay)
    sys.modules.pop("my_plugins")
    monkeypatch.setenv("VSEARCH_PLUGINS", "")
    with pytest.raises(BundleError, match="add `--plugins my_plugins` to the command"):
        open_bundle(bundle)
    monkeypatch.setenv("VSEARCH_PLUGINS", "my_plugins")
    (overlay.parent / "my_plugins.py").unlink()
    with pytest.raises(
        BundleError, match=r"my_plugins\.\w+ can't be imported.*Is its file on the path"
    ):
        open_bundle(bundle)
