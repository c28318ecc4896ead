import json

import pytest
import torch

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.transformers import TransformersBackbone

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
RECIPE = {
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
    "resample": 3,
    "crop_size": 48,
    "size": 64,
}


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
TEXT |= {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
TOWERS = {"text_config": TEXT, "vision_config": {**TINY, "intermediate_size": 64}}


MODELS = {
    "clip": lambda: transformers.CLIPModel(
        transformers.CLIPConfig(**TOWERS)
    ).half(),  # as many are stored
    "siglip": lambda: transformers.SiglipModel(transformers.SiglipConfig(**TOWERS)),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TINY, mlp_ratio=2)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders as the Hub has them, with tiny random models."""
    root = tmp_path_factory.mktemp("transformers")
    torch.manual_seed(1)
    for name, make in MODELS.items():
        make().save_pretrained(root / name)
        (root / name / "preprocessor_config.json").write_text(json.dumps(RECIPE))
    return root


@pytest.mark.parametrize("size", [None, 64])
@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("clip", ["embeddings", "pre_layrnorm", "encoder.layers.0"]),
        ("siglip", ["embeddings", "encoder.layers.0"]),
        ("dinov2", ["embeddings", "encoder.layer.0"]),
    ],
)
def test_frozen_stages_stay_and_the_spec_rebuilds(name, frozen, size, folders, freezes, rebuilds):
    backbone = TransformersBackbone(str(folders / name), freeze=frozen, image_size=size)
    assert backbone.dim == 32
    assert backbone.origin == f"transformers {folders / name}"
    assert all(parameter.dtype == torch.float32 for parameter in backbone.parameters())
    freezes(backbone, frozen)
    rebuilds(backbone)


def test_a_bundle_needs_neither_the_folder_nor_the_hub(folders, rebuilds, hub_offline):
    backbone = TransformersBackbone(str(folders / "dinov2"))
    backbone.name = "nobody/nothing"
    assert rebuilds(backbone).origin == "random"
    assert str(folders) not in json.dumps(backbone.config)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_the_networks_own(name, folders):
    backbone = TransformersBackbone(str(folders / name), image_size=32).eval()
    whole = transformers.AutoModel.from_pretrained(folders / name, dtype=torch.float32)
    tower = getattr(whole, "vision_model", whole).eval()
    photos = torch.randn(2, 3, 32, 32)
    assert torch.allclose(backbone(photos), tower(pixel_values=photos).pooler_output, atol=1e-6)


def test_without_pooling_the_class_token_is_taken(tmp_path):
    transformers.ViTMSNConfig(**TINY, intermediate_size=64).save_pretrained(tmp_path)
    backbone = TransformersBackbone(str(tmp_path), None).eval()
    photos = torch.randn(2, 3, 32, 32)
    assert torch.equal(backbone(photos), backbone.model(photos).last_hidden_state[:, 0])


def test_preprocessing_is_that_of_the_weights(folders):
    wanted = Preprocessing(48, RECIPE["image_mean"], RECIPE["image_std"], "bicubic")
    for weights in ("DEFAULT", None):
        assert TransformersBackbone(str(folders / "siglip"), weights).preprocessing == wanted
    assert TransformersBackbone(str(folders / "siglip"), image_size=32).preprocessing.size == 32


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"crop_size": {"height": 40, "width": 40}}, 40),
        ({"crop_size": None, "size": {"shortest_edge": 56}}, 56),
        ({"crop_size": None, "size": {"height": 24, "width": 24}}, 24),
        ({"crop_size": None, "size": None}, 32),
    ],
)
def test_the_size_stands_in_several_places(change, wanted, folders, tmp_path):
    transformers.AutoConfig.from_pretrained(folders / "siglip").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**RECIPE, **change}))
    assert TransformersBackbone(str(tmp_path), None).preprocessing.size == wanted


def test_random_weights_need_no_preprocessing_but_trained_ones_do(tmp_path):
    MODELS["dinov2"]().save_pretrained(tmp_path)
    random = TransformersBackbone(str(tmp_path), None, freeze=["embeddings"])
    assert random.preprocessing == Preprocessing(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert all(parameter.requires_grad for parameter in random.parameters())
    with pytest.raises(FileNotFoundError, match=r"lacks weights or preprocessor_config.json"):
        TransformersBackbone(str(tmp_path))


def test_a_recipe_with_holes_is_refused(folders, tmp_path):
    MODELS["dinov2"]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "resample": 3}'
    )
    with pytest.raises(ValueError, match=r"preprocessor_config.json of .* lacks \['image_std'\]"):
        TransformersBackbone(str(tmp_path))


def test_a_folder_with_too_few_weights_is_refused(folders, tmp_path):
    model = MODELS["dinov2"]()
    model.save_pretrained(
        tmp_path, state_dict={k: v for k, v in model.state_dict().items() if "layer.2" not in k}
    )
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(RECIPE))
    with pytest.raises(ValueError, match=r"lacks \d+ tensors, such as \['encoder.layer.2"):
        TransformersBackbone(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "IMAGENET1K_V2"}, "'IMAGENET1K_V2' is neither DEFAULT nor null"),
        ({"image_size": 30}, "multiples of its patch size 8, such as 32, not 30"),
        ({"freeze": ["layer1"]}, "no part 'layer1'.*embeddings, encoder.layer.0"),
    ],
)
def test_wrong_arguments(arguments, message, folders):
    with pytest.raises(ValueError, match=message):
        TransformersBackbone(str(folders / "dinov2"), **arguments)


def test_a_text_model_is_refused(tmp_path):
    config = transformers.BertConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=9,
    )
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="isn't an image network: it takes input_ids"):
        TransformersBackbone(str(tmp_path), None)


def test_without_network_nothing_is_known_of_the_architecture(hub_offline):
    with pytest.raises(
        FileNotFoundError, match=r"architecture of nobody/nothing can't be read.*name that"
    ):
        TransformersBackbone("nobody/nothing", weights_unavailable="scratch")


def test_without_network_the_config_allows_scratch(folders, hub_offline):
    config = TransformersBackbone(str(folders / "dinov2"), None).config
    with pytest.raises(
        FileNotFoundError, match=r"transformers nobody/nothing can't be downloaded.*`name`.*scratch"
    ):
        TransformersBackbone("nobody/nothing", config=config)
    with pytest.warns(UserWarning, match="RANDOM weights with nothing frozen"):
        backbone = TransformersBackbone(
            "nobody/nothing", config=config, freeze=["embeddings"], weights_unavailable="scratch"
        )
    assert (backbone.origin, backbone.wanted, backbone.freeze) == (
        "random",
        "transformers nobody/nothing",
        [],
    )
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_downloaded_weights_are_found_without_network(folders, hub_has):
    hub_has("nobody/tiny", folders / "dinov2")
    backbone = TransformersBackbone("nobody/tiny", freeze=["embeddings"])
    assert (backbone.origin, backbone.wanted, backbone.freeze) == (
        "transformers nobody/tiny",
        "",
        ["embeddings"],
    )


@pytest.mark.parametrize("unavailable", ["error", "scratch"])
@pytest.mark.parametrize("on_hub", [True, False], ids=["hub", "folder"])
def test_damaged_weights_are_an_error_that_names_the_file(
    on_hub, unavailable, folders, hub_has, tmp_path
):
    folder = hub_has("nobody/tiny", folders / "dinov2")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    name = "nobody/tiny" if on_hub else str(folder)
    with pytest.raises(
        ValueError, match=rf"weights: transformers {name} can't be read: .*Delete or replace {file}"
    ):
        TransformersBackbone(name, weights_unavailable=unavailable)
