import pytest
import torch
from safetensors.torch import load_file
from test_configs import CONFIGS, SMALLER, TRIPLET, demo, fit, shallow  # noqa: F401  (fixtures)
from torchvision.models import resnet18

STAGES = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
FROZEN = {  # by the overlay, after one epoch
    "triplet": STAGES[:5],
    "all": STAGES,
    "none": [],
    "gradual": STAGES[:5],  # layer3 thaws in epoch 1, which isn't reached
}


@pytest.mark.parametrize("name", FROZEN)
def test_loaded_weights_stay_bit_by_bit_where_the_overlay_freezes_them(
    name,
    demo,  # noqa: F811
    shallow,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    before = resnet18().state_dict()
    torch.save(before, tmp_path / "loaded.pth")
    arguments = {
        **SMALLER["model"]["backbone"]["init_args"],
        "weights": str(tmp_path / "loaded.pth"),
    }
    overlay = [] if name == "triplet" else [CONFIGS / "freeze" / f"{name}.yaml"]
    made = fit(
        tmp_path, TRIPLET, *overlay, model={"backbone": {"init_args": arguments}}, catalog=demo
    )
    assert made.manifest["backbone"]["origin"].startswith("file")
    stored = load_file(tmp_path / "lightning_logs" / "version_0" / "bundle" / "model.safetensors")
    after = {name.removeprefix("backbone.model."): value for name, value in stored.items()}
    for stage in STAGES:
        values = [key for key in before if key.startswith(f"{stage}.")]
        still = [torch.equal(before[key], after[key]) for key in values]
        assert all(still) if stage in FROZEN[name] else not any(still[: len(values) - 1]), (
            stage,
            values,
        )
