"""The training loop that people would write instead: one file of PyTorch and pytorch-metric-learning.

    python benchmarks/plain_script.py fashion/images SPLIT.csv WEIGHTS.pth [--steps N] [--size 96] [--bf16]
        [--channels-last]

SPLIT.csv is a run's split.csv (id, label, split), so that both see the same photos. Prints one JSON line per epoch.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_metric_learning import losses, miners, samplers
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet50
from torchvision.transforms import v2

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("images", type=Path)
parser.add_argument("split", type=Path)
parser.add_argument("weights", type=Path)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--steps", type=int, default=0, help="batches an epoch; 0 for all")
parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
parser.add_argument("--channels-last", action="store_true")
args = parser.parse_args()
torch.manual_seed(0)
np.random.seed(0)

items = pd.read_csv(args.split, dtype={"id": str})
train = items[items["split"] == "train"]
codes = pd.factorize(train["label"])[0]
to_tensor = v2.Compose(
    [
        v2.Resize((args.size, args.size)),
        v2.RandomHorizontalFlip(),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


class Photos(Dataset[tuple[Tensor, int]]):
    """The train part."""

    def __len__(self) -> int:
        return len(train)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(args.images / f"{train['id'].iloc[index]}.jpg") as photo:
            return to_tensor(photo.convert("RGB")), int(codes[index])


model = resnet50()
model.load_state_dict(torch.load(args.weights, weights_only=True))
model.fc = nn.Identity()
frozen = [model.conv1, model.bn1, model.layer1, model.layer2, model.layer3]
for part in frozen:
    part.requires_grad_(False)
if args.channels_last:
    model.to(memory_format=torch.channels_last)
sampler = samplers.MPerClassSampler(codes, 4, 64, len(train))
loader = DataLoader(Photos(), batch_size=64, sampler=sampler, num_workers=2, drop_last=True)
loss_of, mine = losses.TripletMarginLoss(margin=0.3), miners.BatchHardMiner()
optimizer = torch.optim.AdamW(model.layer4.parameters(), 1e-4)
for epoch in range(args.epochs):
    model.train()
    for part in frozen:
        part.eval()
    times, seen = [time.perf_counter()], []
    for photos, labels in loader:
        if args.channels_last:
            photos = photos.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            features = model(photos)
        embeddings = nn.functional.normalize(features.float())
        loss = loss_of(embeddings, labels, mine(embeddings, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
        times.append(time.perf_counter())
        if len(seen) == args.steps:
            break
    step_s = np.diff(times[3:]) if len(times) > 4 else np.diff(times)  # the first batches wait for the workers
    print(json.dumps({"epoch": epoch, "loss": float(np.mean(seen)), "median_step_s": float(np.median(step_s))}))
