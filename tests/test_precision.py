import pytest
import torch
import yaml
from test_configs import TRIPLET, demo  # noqa: F401  (a fixture)

from vsearch import precision
from vsearch.cli import main

has_bfloat16 = precision.cpu_has_bfloat16  # before the fixture that takes it away


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


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16", "bf16"])
def test_instructions_for_bfloat16_are_known_by_name(name, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True}, raising=False)
    assert has_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: False}, raising=False)
    assert not has_bfloat16()


def test_an_older_pytorch_that_cannot_tell_has_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16()


@pytest.mark.parametrize(("given", "expected"), [([], "bf16-mixed"), (["--trainer.precision", "32-true"], "32-true")])
def test_the_runs_config_says_which_precision_it_had(given, expected, demo, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vsearch.trainer_cli.quickest", lambda accelerator: "bf16-mixed")
    small = {"model.backbone.init_args.name": "resnet18", "model.backbone.init_args.image_size": "32"}
    small |= {f"data.catalog.init_args.{name}": str(value) for name, value in demo["init_args"].items()}
    small |= {
        "data.classes_per_batch": "3",
        "trainer.limit_train_batches": "1",
        "trainer.max_epochs": "1",
        "data.num_workers": "0",
    }
    words = [word for name, value in small.items() for word in (f"--{name}", value)]
    main(["fit", "--config", str(TRIPLET), "--model.backbone.init_args.weights", "null", *words, *given])
    written = yaml.safe_load((tmp_path / "lightning_logs" / "version_0" / "config.yaml").read_text())
    assert written["trainer"]["precision"] == expected
