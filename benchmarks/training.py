"""Time whole epochs of vsearch and of scripts in its place, on the same photos, in turn.

    python -m benchmarks.training CATALOG_FOLDER SPLIT.csv WEIGHTS.pth [--items 8000] [--epochs 3]
        [--rounds 2] [--size 96] [--only tutorial,oml,best,vsearch,cached]

CATALOG_FOLDER holds styles.csv and images/ (Fashion Product Images), SPLIT.csv is a run's
split.csv, of which --items photos are drawn, label by label. Contenders, each in a separate process
with all of the machine's threads:

    tutorial  benchmarks/plain_lightning.py: Lightning, pytorch-metric-learning, PIL, float32
    oml       benchmarks/plain_oml.py: open-metric-learning, in its own environment
    best      benchmarks/plain_best.py: photos in one array, bfloat16, channels-last,
              frozen stages without autograd
    vsearch   triplet.yaml and finetune.yaml, with the scripts' constant learning rate
              and way to average triplets
    cached    the same with extras/trunk_cache.yaml, and an empty cache

An epoch is training and validation; the first includes one-time preparation. Prints seconds,
ratios, and how well the last epoch's embeddings of test photos find train photos (precision@1 and
MAP@R by exact search).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import yaml

from vsearch.evaluation.scoring import Embedded, score_exactly

HERE = Path(__file__).parent
OURS = ("vsearch", "cached")
ISOLATED = [
    "uv",
    "run",
    "--isolated",
    "--no-project",
    "--with",
    "open-metric-learning",
    "--with",
    "omegaconf",
]  # it imports it
CALLBACKS = [
    {"class_path": "benchmarks.stopwatch.Stopwatch"},
    {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"filename": "last"},
    },
    {"class_path": "callbacks.build_index.BuildIndex", "init_args": {"baseline": False}},
]


def drawn(split: Path, n: int, folder: Path) -> Path:
    """Write a split.csv with about `n` of another's photos, each label's and part's share."""
    items = pd.read_csv(split, dtype={"id": str})
    share = min(1, n / len(items))
    few = items.groupby(["label", "split"]).sample(frac=share, random_state=0)
    few = few[few.groupby(["label", "split"])["id"].transform("size") > 1].sort_index()
    few.to_csv(folder / "split.csv", index=False)
    return folder / "split.csv"


def command(name: str, args: argparse.Namespace, split: Path, folder: Path) -> list[str]:
    """Return what runs a contender in a folder of its own."""
    if name not in OURS:
        script = (
            HERE
            / {"tutorial": "plain_lightning.py", "oml": "plain_oml.py", "best": "plain_best.py"}[
                name
            ]
        )
        words = [
            str(script),
            str(args.catalog / "images"),
            str(split),
            str(args.weights),
            str(folder / "out.npz"),
        ]
        python = [*ISOLATED, "python"] if name == "oml" else [sys.executable]
        return [*python, *words, "--size", str(args.size), "--epochs", str(args.epochs)]
    table = folder / "items.csv"
    items = pd.read_csv(split, dtype={"id": str})
    items["path"] = [str((args.catalog / "images" / f"{id}.jpg").absolute()) for id in items["id"]]
    items.to_csv(table, index=False)
    overlay = {
        "model": {
            "backbone": {"init_args": {"weights": str(args.weights), "image_size": args.size}},
            "loss": {
                "init_args": {"reducer": None}
            },  # the scripts' own, and their constant learning rate
            "warmup_steps": 0,
            "lr_scheduler": None,
        },
        "data": {
            "catalog": {
                "class_path": "vsearch.data.catalogs.table.TableCatalog",
                "init_args": {"table": str(table), "root": "/", "min_images_per_label": 2},
            },
            "split": {"class_path": "vsearch.data.splits.ColumnSplit"},
            "axes": [],
            **({"trunk_cache": {"folder": str(folder / "cache")}} if name == "cached" else {}),
        },
        "trainer": {
            "max_epochs": args.epochs,
            "callbacks": CALLBACKS,
            "enable_progress_bar": False,
        },
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    configs = ["configs/triplet.yaml", "configs/finetune.yaml"]
    if name == "cached":
        configs.append("configs/extras/trunk_cache.yaml")
    words = [
        word for path in (*configs, str(folder / "overlay.yaml")) for word in ("--config", path)
    ]
    return [
        sys.executable,
        "-m",
        "vsearch",
        "fit",
        *words,
        "--trainer.logger.init_args.save_dir",
        str(folder),
    ]


def run(words: list[str]) -> list[float]:
    """Run a contender; return the seconds of its epochs."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if '"seconds"' in line]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return [float(json.loads(line[line.index("{") :])["seconds"]) for line in lines]


def quality(name: str, folder: Path) -> tuple[float, float]:
    """Return precision@1 and MAP@R of what a contender left."""
    if name in OURS:
        report = json.loads(
            (folder / "lightning_logs" / "version_0" / "bundle" / "report.json").read_text()
        )
        trained = report["metrics"]["trained"]
        return trained["precision_at_1"]["micro"]["value"], trained["map_at_r"]["micro"]["value"]
    with np.load(folder / "out.npz") as found:
        queries, gallery = (
            Embedded(found[part], found[f"{part}_labels"], np.full(len(found[part]), number))
            for number, part in enumerate(("test", "train"))
        )
    scores = score_exactly(queries, gallery).model
    return float(scores["precision_at_1"].mean()), float(scores["map_at_r"].mean())


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--items", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--only", default="tutorial,oml,best,vsearch,cached")
    args = parser.parse_args()
    names = args.only.split(",")
    rows: dict[str, list[list[float]]] = {name: [] for name in names}
    good: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        split = drawn(args.split, args.items, Path(scratch))
        for number in range(args.rounds):
            for name in names:
                folder = Path(scratch) / f"{name}-{number}"
                folder.mkdir()
                rows[name].append(run(command(name, args, split, folder)))
                good[name] = quality(name, folder)
                print(
                    f"round {number}, {name}: {' '.join(f'{s:.1f}' for s in rows[name][-1])} s an "
                    "epoch",
                    flush=True,
                )
    print(
        "| | first epoch, s | later epochs, s | later, against the last row | precision@1 | MAP@R |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    last = [later(epochs) for epochs in rows[names[-1]]]
    for name in names:
        ratio = median(later(epochs) / own for epochs, own in zip(rows[name], last, strict=True))
        first = median(epochs[0] for epochs in rows[name])
        seconds = f"{first:.0f} | {median(map(later, rows[name])):.1f}"
        print(f"| {name} | {seconds} | {ratio:.2f}x | {good[name][0]:.3f} | {good[name][1]:.3f} |")


def later(epochs: list[float]) -> float:
    """Return the median of the epochs after the first."""
    return median(epochs[1:] or epochs)


if __name__ == "__main__":
    main()
