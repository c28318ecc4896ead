import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_configs import shallow  # noqa: F401  (a fixture)
from torch import nn
from torchvision.models import convnext_tiny, efficientnet_b0, resnet18, resnet50, vit_b_16

from vsearch.cli.main import main
from vsearch.models.freezing import blocks, freeze, hold_frozen, stages


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def test_frozen_modules_have_no_gradient_and_stay_in_eval_mode_with_their_statistics():
    model = small()
    freeze(model, ["0", "1"])
    model.train()
    hold_frozen(model)
    before = model[1].running_mean.clone()
    model(torch.randn(8, 3, 4, 4)).sum().backward()
    assert torch.equal(model[1].running_mean, before)
    assert model[0].weight.grad is None
    assert model[3].weight.grad is not None
    assert [module.training for module in model] == [False, False, True, True]


def test_without_hold_frozen_batchnorm_statistics_move():
    model = small()
    freeze(model, ["0", "1"])
    before = model[1].running_mean.clone()
    model.train()(torch.randn(8, 3, 4, 4))
    assert not torch.equal(model[1].running_mean, before)


def test_a_partly_frozen_parent_still_trains():
    model = nn.Sequential(small(), nn.Linear(2, 2))
    freeze(model, ["0.0"])
    model.train()
    hold_frozen(model)
    assert model.training
    assert model[0].training
    assert not model[0][0].training


def without_memory(builder) -> nn.Module:
    with torch.device("meta"):
        return builder()


def test_unknown_names_are_refused_with_the_stages():
    message = (
        r"ResNet has no part 'layer9'. Its stages: "
        r"conv1, bn1, layer1, layer2, layer3, layer4, fc; or all\."
    )
    with pytest.raises(ValueError, match=message):
        freeze(without_memory(resnet50), ["layer9"])


@pytest.mark.parametrize("name", ["", "0.9", "ALL"])
def test_names_that_are_nearly_right(name):
    with pytest.raises(ValueError, match="has no part"):
        freeze(small(), [name])


def test_a_part_without_parameters_cannot_be_frozen():
    with pytest.raises(
        ValueError, match=r"^freeze: '2' has no parameters\. The stages: 0, 1, 3\.$"
    ):
        freeze(small(), ["0", "2"])


def test_parts_of_stages_and_single_parameters_are_names_too():
    model = without_memory(vit_b_16)
    freeze(model, iter(["class_token", "encoder.layers.encoder_layer_3.mlp"]))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"class_token"} | {
        n for n, _ in model.named_parameters() if "encoder_layer_3.mlp" in n
    }


def test_all_is_also_what_belongs_to_no_stage():
    model = without_memory(vit_b_16)
    freeze(model, stages(model))
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        "class_token",
        "encoder.pos_embedding",
    ]
    freeze(model, ["all"])
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("builder", "wanted"),
    [
        (resnet50, ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]),
        (
            vit_b_16,
            [
                "conv_proj",
                *(f"encoder.layers.encoder_layer_{i}" for i in range(12)),
                "encoder.ln",
                "heads",
            ],
        ),
        (efficientnet_b0, [*(f"features.{i}" for i in range(9)), "classifier"]),
        (convnext_tiny, [*(f"features.{i}" for i in range(8)), "classifier"]),
    ],
)
def test_stages_of_known_networks(builder, wanted):
    assert stages(without_memory(builder)) == wanted


def test_the_largest_stage_is_divided_until_there_are_six():
    def pair(size: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    model = nn.Sequential(pair(2), nn.Sequential(pair(5)), pair(3), nn.Linear(99, 99))
    assert stages(model) == [
        "0",
        "1.0.0",
        "1.0.2",
        "2.0",
        "2.2",
        "3",
    ]  # 3 is largest, but of one piece


def test_a_network_of_few_parts_has_few_stages():
    assert stages(small()) == ["0", "1", "3"]
    assert stages(nn.Sequential(nn.Sequential(small()))) == ["0.0.0", "0.0.1", "0.0.3"]
    assert stages(nn.Linear(2, 2)) == []


def test_blocks_of_resnet50():
    model = without_memory(resnet50)
    freeze(model, ["conv1", "bn1", "layer1", "layer2", "layer3"])
    found = {block.name: block for block in blocks(model)}
    assert list(found) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert found["layer4"].trainable == found["layer4"].parameters == 14_964_736
    assert found["layer3"].trainable == 0
    assert sum(block.parameters for block in found.values()) == sum(
        p.numel() for p in model.parameters()
    )


def test_blocks_walk_down_wrappers_and_skip_what_has_no_parameters():
    wrapped = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))})
    assert [(block.name, block.parameters) for block in blocks(wrapped)] == [("0", 6), ("2", 3)]


def test_blocks_count_parameters_that_stand_alone():
    model = without_memory(vit_b_16)
    assert [block.name for block in blocks(model)] == [
        "class_token",
        "conv_proj",
        "encoder",
        "heads",
    ]
    assert sum(block.parameters for block in blocks(model)) == sum(
        p.numel() for p in model.parameters()
    )


TRIPLET = Path(__file__).parents[2] / "configs" / "triplet.yaml"


@pytest.fixture
def run(tmp_path, shallow, monkeypatch) -> Path:  # noqa: F811
    """The folder of the next run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "lightning_logs" / "version_0"


def fit_recipe(weights: str, **trainer: Any) -> None:
    """Fit the shipped recipe, freeze list and all, with a ResNet-18 on a tiny catalog in this
    folder.
    """
    settings = {
        "model": {
            "backbone": {"init_args": {"name": "resnet18", "weights": weights, "image_size": 32}}
        },
        "data": {
            "catalog": {"class_path": "tiny.ColourCatalog", "init_args": {"folder": "colours"}},
            "axes": ["shelf"],
            "classes_per_batch": 4,
            "photos_per_class": 2,
            "num_workers": 0,
        },
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False, **trainer},
    }
    Path("small.yaml").write_text(yaml.safe_dump(settings))
    main(["fit", "--config", str(TRIPLET), "--config", "small.yaml"])


def used_resnet18() -> dict[str, torch.Tensor]:
    """Weights whose BatchNorm statistics are none that a new network has."""
    model = resnet18()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked.fill_(1000)
    return model.state_dict()


def test_the_recipe_leaves_layers_1_to_3_bit_by_bit_as_the_file_has_them(run, tmp_path):
    state = used_resnet18()
    torch.save(state, tmp_path / "mine.pth")
    fit_recipe(str(tmp_path / "mine.pth"))
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for prefix, stored in (
        ("embedder.backbone.model.", last),
        ("backbone.model.", load_file(run / "bundle" / "model.safetensors")),
    ):
        assert set(stored) == {f"{prefix}{name}" for name in state if not name.startswith("fc.")}
        for name, value in stored.items():
            name = name.removeprefix(prefix)
            assert torch.equal(value, state[name]) != name.startswith("layer4."), name
    recipe = yaml.safe_load(TRIPLET.read_text())["model"]["backbone"]["init_args"]["freeze"]
    made = json.loads((run / "bundle" / "manifest.json").read_text())
    assert (
        made["backbone"]["init_args"]["freeze"]
        == recipe
        == ["conv1", "bn1", "layer1", "layer2", "layer3"]
    )
    assert (made["model"]["origin"], made["model"]["wanted"]) == ("file mine.pth", "")


def test_after_a_start_without_network_the_bundle_says_that_nothing_was_frozen(
    run, tmp_path, monkeypatch
):
    def fail(*args):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.warns(UserWarning, match="no route to host.*RANDOM weights"):
        fit_recipe("IMAGENET1K_V1", limit_train_batches=1)
    made = json.loads((run / "bundle" / "manifest.json").read_text())
    assert made["backbone"]["init_args"]["freeze"] == []
    missing = "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert (made["model"]["origin"], made["model"]["wanted"]) == ("random", missing)
    assert (
        f"random weights ({missing} could not be downloaded)"
        in (run / "bundle" / "report.md").read_text()
    )
