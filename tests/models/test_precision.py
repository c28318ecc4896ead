from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_configs import TRIPLET, demo, shallow  # noqa: F401  (fixtures)

from vsearch.cli.main import main
from vsearch.models import precision


@pytest.mark.parametrize(("cpu", "gpu", "accelerator", "expected"), [
    (True, None, "auto", "bf16-mixed"),
    (True, None, "cpu", "bf16-mixed"),
    (False, None, "auto", "32-true"),
    (False, True, "auto", "bf16-mixed"),
    (False, True, "gpu", "bf16-mixed"),
    (True, False, "auto", "32-true"),
    (False, True, "cpu", "32-true"),
    (True, None, "tpu", "32-true"),
])  # fmt: skip
def test_bfloat16_is_taken_where_what_computes_has_it(cpu, gpu, accelerator, expected, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: cpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    assert precision.quickest(accelerator) == expected


def fit(folder: Path, demo: dict[str, Any], *given: str) -> Path:  # noqa: F811
    """Fit the recipe, made small, in a folder; return the run's."""
    small = {
        "model.backbone.init_args.name": "resnet18",
        "model.backbone.init_args.image_size": "32",
    }
    small |= {
        f"data.catalog.init_args.{name}": str(value) for name, value in demo["init_args"].items()
    }
    small |= {
        "model.backbone.init_args.weights": "null",
        "data.classes_per_batch": "3",
        "data.num_workers": "0",
    }
    small |= {
        "trainer.limit_train_batches": "3",
        "trainer.max_epochs": "1",
        "trainer.logger.init_args.save_dir": str(folder),
    }
    main(
        [
            "fit",
            "--config",
            str(TRIPLET),
            *(word for name, value in small.items() for word in (f"--{name}", value)),
            *given,
        ]
    )
    return folder / "lightning_logs" / "version_0"


@pytest.mark.parametrize(
    ("given", "expected"), [([], "bf16-mixed"), (["--trainer.precision", "32-true"], "32-true")]
)
def test_the_runs_config_says_which_precision_it_had(
    given,
    expected,
    demo,  # noqa: F811
    shallow,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr("vsearch.cli.trainer.quickest", lambda accelerator: "bf16-mixed")
    written = yaml.safe_load((fit(tmp_path, demo, *given) / "config.yaml").read_text())
    assert written["trainer"]["precision"] == expected


def test_deterministic_runs_are_equal_bit_by_bit(demo, shallow, tmp_path):  # noqa: F811
    words = ("--trainer.deterministic", "true")
    try:
        runs = [
            fit(tmp_path / name, demo, *words) / "checkpoints" / "last.ckpt"
            for name in ("one", "other")
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    one, other = (torch.load(path, weights_only=True)["state_dict"] for path in runs)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
