"""Time a training step of vsearch against the plain script, on the same photos, in turn.

    python -m benchmarks.epoch_time CATALOG_FOLDER SPLIT.csv WEIGHTS.pth [--rounds 3] [--steps 25] [--size 96] [--bf16]

CATALOG_FOLDER holds styles.csv and images/ (Fashion Product Images), SPLIT.csv is a run's split.csv. The plain script
runs twice: as people write it, and with channels-last, the one line that makes it faster. Prints medians and ratios.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent


def step_s(command: list[str]) -> float:
    """Run a command and return the last `median_step_s` that it prints."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if '"median_step_s"' in line]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return float(json.loads(lines[-1][lines[-1].index("{") :])["median_step_s"])


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--bf16", action="store_true", help="all of them in bfloat16, where the CPU has it")
    args = parser.parse_args()
    configs = ["triplet.yaml", "finetune.yaml", "data/fashion.yaml"]
    plain = [str(HERE / "plain_script.py"), str(args.catalog / "images"), str(args.split), str(args.weights)]
    plain += ["--steps", str(args.steps), "--size", str(args.size), *(["--bf16"] if args.bf16 else [])]
    with tempfile.TemporaryDirectory() as scratch:
        ours = ["-m", "vsearch", "fit"] + [word for name in configs for word in ("--config", f"configs/{name}")]
        ours += ["--data.catalog.init_args.table", str(args.catalog / "styles.csv"), "--data.split"]
        ours += ["vsearch.splits.FileSplit", "--data.split.init_args.path", str(args.split)]
        ours += ["--model.backbone.init_args.weights", str(args.weights), "--trainer.max_epochs", "1"]
        ours += ["--model.backbone.init_args.image_size", str(args.size)]
        ours += ["--trainer.limit_train_batches", str(args.steps), "--trainer.limit_val_batches", "0"]
        ours += ["--trainer.logger", "false", "--trainer.callbacks", "benchmarks.stopwatch.Stopwatch"]
        ours += ["--trainer.precision", "bf16-mixed"] if args.bf16 else []
        ours += ["--trainer.enable_checkpointing", "false", "--trainer.default_root_dir"]
        commands = {"vsearch": ours, "plain": plain, "plain, channels-last": [*plain, "--channels-last"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(args.rounds):
            for name, command in commands.items():
                folder = [f"{scratch}/{number}"] if name == "vsearch" else []
                times[name].append(step_s(command + folder))
                print(f"round {number}: {name}: {times[name][-1]:.3f} s a step", flush=True)
    for name in commands:
        ratio = median(a / b for a, b in zip(times[name], times["vsearch"], strict=True))
        print(f"{name}: median {median(times[name]):.3f} s a step, {ratio:.2f} times vsearch's")


if __name__ == "__main__":
    main()
