"""Training as in a tutorial: Lightning, pytorch-metric-learning, PIL, float32.

    python benchmarks/plain_lightning.py IMAGES SPLIT.csv WEIGHTS.pth OUT.npz [--size 96] [--epochs
    3]

SPLIT.csv is a run's split.csv (id, label, split). Prints a JSON line for each epoch, validation
included, and writes the embeddings of test and train photos.
"""
# ruff: noqa: D102  (Lightning's hooks)

import argparse
import json
import time
from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_metric_learning import losses, miners, samplers
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet50
from torchvision.transforms import v2

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("images", type=Path)
parser.add_argument("split", type=Path)
parser.add_argument("weights", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()
L.seed_everything(0, verbose=False)

NORMALISE = [
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]
AUGMENTED = v2.Compose([v2.Resize((args.size, args.size)), v2.RandomHorizontalFlip(), *NORMALISE])
PLAIN = v2.Compose([v2.Resize((args.size, args.size)), *NORMALISE])
FROZEN = ("conv1", "bn1", "layer1", "layer2", "layer3")


class Photos(Dataset[tuple[Tensor, int]]):
    """One part of the split."""

    def __init__(self, part: str, transform: v2.Compose) -> None:
        items = pd.read_csv(args.split, dtype={"id": str})
        items["code"] = pd.factorize(items["label"], sort=True)[0]
        self.items, self.transform = items[items["split"] == part], transform
        self.codes = self.items["code"].to_numpy()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(args.images / f"{self.items['id'].iloc[index]}.jpg") as photo:
            return self.transform(photo.convert("RGB")), int(self.codes[index])


class Learner(L.LightningModule):
    """ResNet-50 with its last stage trained."""

    def __init__(self) -> None:
        super().__init__()
        self.model = resnet50()
        self.model.load_state_dict(torch.load(args.weights, weights_only=True))
        self.model.fc = nn.Identity()
        self.frozen = [getattr(self.model, name) for name in FROZEN]
        for part in self.frozen:
            part.requires_grad_(False)
        self.loss, self.miner = losses.TripletMarginLoss(margin=0.3), miners.BatchHardMiner()
        self.start = 0.0

    def forward(self, photos: Tensor) -> Tensor:
        return nn.functional.normalize(self.model(photos))

    def on_train_epoch_start(self) -> None:
        self.start = time.perf_counter()
        self.train()
        for part in self.frozen:
            part.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        embeddings = self(batch[0])
        return self.loss(embeddings, batch[1], self.miner(embeddings, batch[1]))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.loss(self(batch[0]), batch[1]))

    def on_train_epoch_end(self) -> None:
        print(
            json.dumps({"epoch": self.current_epoch, "seconds": time.perf_counter() - self.start}),
            flush=True,
        )

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.model.layer4.parameters(), 2e-4)


train, val = Photos("train", AUGMENTED), Photos("val", PLAIN)
sampler = samplers.MPerClassSampler(train.codes, 4, 64, len(train))
batches = DataLoader(train, 64, sampler=sampler, num_workers=2, drop_last=True)
trainer = L.Trainer(
    max_epochs=args.epochs, accelerator="cpu", logger=False, num_sanity_val_steps=0,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)  # fmt: skip
module = Learner()
trainer.fit(module, batches, DataLoader(val, 64, num_workers=2))
found: dict[str, np.ndarray] = {}
for name in ("test", "train"):
    photos = Photos(name, PLAIN)
    rows = trainer.predict(module, DataLoader(photos, 64, num_workers=2)) or []
    found |= {name: torch.cat([*rows]).numpy(), f"{name}_labels": photos.codes}
np.savez(args.out, allow_pickle=False, **found)
