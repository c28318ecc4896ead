"""The same training with open-metric-learning's own classes, in the loop of its documentation.

    uv run --isolated --no-project --with open-metric-learning --with omegaconf python
        benchmarks/plain_oml.py IMAGES SPLIT.csv WEIGHTS.pth OUT.npz [--size 96] [--epochs 3]

SPLIT.csv is a run's split.csv (id, label, split). Prints a JSON line for each epoch, validation
included, and writes the embeddings of test and train photos. Its sampler's epoch has each label
once: it is repeated until an epoch has as many batches as the others'.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from oml import datasets
from oml.inference import inference
from oml.losses import TripletLossWithMiner
from oml.miners import HardTripletsMiner
from oml.models import ResnetExtractor
from oml.samplers import BalanceSampler
from torch.utils.data import DataLoader
from torchvision import transforms  # open-metric-learning takes no v2

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
torch.manual_seed(0)
np.random.seed(0)

NORMALISE = [
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]
SQUARE = transforms.Resize((args.size, args.size))
AUGMENTED = transforms.Compose([SQUARE, transforms.RandomHorizontalFlip(), *NORMALISE])
PLAIN = transforms.Compose([SQUARE, *NORMALISE])
items = pd.read_csv(args.split, dtype={"id": str})
items["path"] = [str(args.images / f"{id}.jpg") for id in items["id"]]
items["label"] = pd.factorize(items["label"], sort=True)[0]
parts = {
    name: items[items["split"] == name].reset_index(drop=True) for name in ("train", "val", "test")
}

extractor = ResnetExtractor(
    args.weights, arch="resnet50", gem_p=None, remove_fc=True, normalise_features=True
)
for stage in ("conv1", "bn1", "layer1", "layer2", "layer3"):
    getattr(extractor.model, stage).requires_grad_(False)
train = datasets.ImageLabeledDataset(parts["train"], transform=AUGMENTED)
criterion = TripletLossWithMiner(margin=0.3, miner=HardTripletsMiner())
optimizer = torch.optim.AdamW(
    [value for value in extractor.parameters() if value.requires_grad], 2e-4
)
sampler = BalanceSampler(train.get_labels(), n_labels=16, n_instances=4)


def embed(part: str) -> np.ndarray:
    """Return the embeddings of a part of the split."""
    extractor.eval()
    plain = datasets.ImageLabeledDataset(parts[part], transform=PLAIN)
    return inference(extractor, plain, batch_size=64, num_workers=2, verbose=False).numpy()


for epoch in range(args.epochs):
    start = time.perf_counter()
    extractor.train()
    for stage in ("conv1", "bn1", "layer1", "layer2", "layer3"):
        getattr(extractor.model, stage).eval()
    batches = list(
        itertools.islice(itertools.chain.from_iterable(itertools.repeat(sampler)), len(train) // 64)
    )
    for batch in DataLoader(train, batch_sampler=batches, num_workers=2):
        loss = criterion(extractor(batch["input_tensors"]), batch["labels"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    embed("val")
    print(json.dumps({"epoch": epoch, "seconds": time.perf_counter() - start}), flush=True)
vectors = {part: embed(part) for part in ("test", "train")}
kinds = {f"{part}_labels": parts[part]["label"].to_numpy() for part in vectors}
np.savez(args.out, allow_pickle=False, **vectors, **kinds)
