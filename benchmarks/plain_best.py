"""The quickest training in one file of PyTorch and pytorch-metric-learning: photos decoded once
into an array, bfloat16 if the CPU has it, channels-last, frozen stages without autograd, fused
AdamW.

    python benchmarks/plain_best.py IMAGES SPLIT.csv WEIGHTS.pth OUT.npz [--size 96] [--epochs 3]

SPLIT.csv is a run's split.csv (id, label, split). Prints a JSON line for each epoch, validation
included, and writes the embeddings of test and train photos. The first epoch's time includes
decoding.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_metric_learning import losses, miners, samplers
from torch import Tensor, nn
from torchvision.models import resnet50

from vsearch.models.precision import quickest

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

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
items = pd.read_csv(args.split, dtype={"id": str})
codes = torch.tensor(pd.factorize(items["label"], sort=True)[0])
rows = {
    part: torch.tensor(np.flatnonzero(items["split"] == part)) for part in ("train", "val", "test")
}


def decode(name: str) -> np.ndarray:
    """Return a photo as uint8 (size, size, 3)."""
    with Image.open(args.images / f"{name}.jpg") as photo:
        return np.asarray(
            photo.convert("RGB").resize((args.size, args.size), Image.Resampling.BILINEAR)
        )


model = resnet50()
model.load_state_dict(torch.load(args.weights, weights_only=True))
model = model.to(memory_format=torch.channels_last).train()
frozen = nn.Sequential(
    model.conv1, model.bn1, model.relu, model.maxpool, model.layer1, model.layer2, model.layer3
)
frozen.requires_grad_(False).eval()
trained = nn.Sequential(model.layer4, model.avgpool, nn.Flatten())
low = quickest("cpu") == "bf16-mixed"


def embed(chosen: Tensor, flips: bool = False) -> Tensor:
    """Return unit vectors (B, 2048) of the photos in these rows."""
    batch = photos[chosen].permute(0, 3, 1, 2)
    if flips:
        batch = torch.where((torch.rand(len(batch)) < 0.5).view(-1, 1, 1, 1), batch.flip(-1), batch)
    batch = ((batch.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        with torch.no_grad():
            maps = frozen(batch)
        features = trained(maps)
    return nn.functional.normalize(features.float())


def embed_all(part: str) -> np.ndarray:
    """Return the embeddings of a part of the split."""
    trained.eval()
    with torch.inference_mode():
        made = torch.cat([embed(chosen) for chosen in rows[part].split(64)])
    trained.train()
    return made.numpy()


sampler = samplers.MPerClassSampler(codes[rows["train"]].numpy(), 4, 64, len(rows["train"]))
loss_of, mine = losses.TripletMarginLoss(margin=0.3), miners.BatchHardMiner()
optimizer = torch.optim.AdamW(trained.parameters(), 2e-4, fused=True)
start = time.perf_counter()
with ThreadPoolExecutor() as pool:
    photos = torch.from_numpy(np.stack(list(pool.map(decode, items["id"]))))
for epoch in range(args.epochs):
    order = rows["train"][torch.tensor(list(sampler))]
    for chosen in order[: len(order) // 64 * 64].split(64):
        embeddings, labels = embed(chosen, flips=True), codes[chosen]
        loss = loss_of(embeddings, labels, mine(embeddings, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    embed_all("val")
    print(json.dumps({"epoch": epoch, "seconds": time.perf_counter() - start}), flush=True)
    start = time.perf_counter()
vectors = {part: embed_all(part) for part in ("test", "train")}
kinds = {f"{part}_labels": codes[rows[part]].numpy() for part in vectors}
np.savez(args.out, allow_pickle=False, **vectors, **kinds)
