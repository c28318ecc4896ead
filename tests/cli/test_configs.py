import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tiny import COLOURS, ColourCatalog
from torchvision.models import convnext, resnet, vision_transformer

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.catalogs.demo import DemoCatalog
from vsearch.search.searcher import Searcher

CONFIGS = Path(__file__).parents[2] / "configs"
EVERY = sorted(
    path for path in CONFIGS.rglob("*.yaml") if path.parent.name != "studies"
)  # these are no overlays
OUTSIDE = [
    CONFIGS / "index" / f"{name}.yaml" for name in ("milvus", "pgvector")
]  # tests/indexes/test_end_to_end.py
DATA = sorted((CONFIGS / "data").glob("*.yaml"))
BACKBONES = sorted((CONFIGS / "backbone").glob("*.yaml"))
TRIPLET, FINETUNE = CONFIGS / "triplet.yaml", CONFIGS / "finetune.yaml"
N_DEMO, LABELS_DEMO = 80, 4
SMALLER: dict[str, Any] = {
    "model": {"backbone": {"init_args": {"name": "resnet18", "weights": None, "image_size": 32}}},
    "data": {"classes_per_batch": 3, "photos_per_class": 2, "num_workers": 0},
    "trainer": {
        "max_epochs": 1,
        "limit_train_batches": 2,
        "accelerator": "cpu",
        "enable_progress_bar": False,
    },
}


def class_paths(node: Any) -> Iterator[str]:
    """Every class_path in a YAML tree."""
    for name, value in (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    ):
        if name == "class_path":
            yield value
        yield from class_paths(value)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_class_is_named_by_a_full_path_that_imports(path):
    for class_path in class_paths(yaml.safe_load(path.read_text())):
        module, _, name = class_path.rpartition(".")
        assert isinstance(getattr(import_module(module), name), type), class_path


def fit(
    folder: Path, *configs: Path, model: dict[str, Any] = SMALLER["model"], **data: Any
) -> Searcher:
    """Fit the configs, laid over each other and made small, in `folder`; return the bundle that
    comes out.
    """
    smaller = folder / "smaller.yaml"
    smaller.write_text(
        yaml.safe_dump({**SMALLER, "model": model, "data": {**SMALLER["data"], **data}})
    )
    main(["fit", *(word for config in (*configs, smaller) for word in ("--config", str(config)))])
    return open_bundle(folder / "lightning_logs" / "version_0" / "bundle")


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> dict[str, Any]:
    folder = str(tmp_path_factory.mktemp("demo") / "catalog")
    arguments = {"folder": folder, "n_items": N_DEMO, "n_labels": LABELS_DEMO, "photo_size": 32}
    DemoCatalog(**arguments).prepare()
    return {"init_args": arguments}


@pytest.fixture
def shallow(monkeypatch) -> None:
    """A narrow block in each layer of a ResNet, for less to train and to write; 256-d, as some
    indexes want.
    """
    make, make_layer = resnet._resnet, resnet.ResNet._make_layer
    monkeypatch.setattr(
        resnet,
        "_resnet",
        lambda block, layers, *given, **named: make(block, [1] * 4, *given, **named),
    )
    monkeypatch.setattr(
        resnet.ResNet,
        "_make_layer",
        lambda self, block, planes, *given, **named: make_layer(
            self, block, 256 if planes == 512 else 16, *given, **named
        ),
    )


@pytest.mark.parametrize(
    "path",
    [path for path in EVERY if path not in (*DATA, *BACKBONES, *OUTSIDE)],
    ids=lambda path: str(path.relative_to(CONFIGS)),
)
def test_every_config_without_a_catalog_fits_the_demo(
    path, demo, shallow, request, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if path == TRIPLET:  # the report is the same for all
        request.getfixturevalue("drawing")
    overlay = [] if path == TRIPLET else [path]
    n_items, catalog = N_DEMO, demo
    if path.stem in (
        "opq",
        "hnsw_pca",
    ):  # a rotation is learned with 256 centroids, components of 128 photos or more
        n_items = 400
        catalog = {
            "init_args": {
                **demo["init_args"],
                "n_items": n_items,
                "folder": str(tmp_path / "larger"),
            }
        }
    made = fit(tmp_path, TRIPLET, *overlay, catalog=catalog)
    protocol = made.manifest["protocol"]
    assert (protocol["catalog"], protocol["synthetic"]) == ("DemoCatalog", True)
    assert (protocol["items"], protocol["labels"], protocol["skipped_photos"]) == (
        n_items,
        LABELS_DEMO,
        0,
    )
    assert len(made.index) == protocol["parts"]["train"] == n_items * 8 // 10


LAYERS = {
    "num_hidden_layers": 12,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "mlp_ratio": 2,
}
STAND_INS: dict[
    str, dict[str, Any]
] = {  # thin ones for what the Hub describes, as deep as the overlay's own
    "clip": {"name": "ViT-S-32-alt"},
    "dinov2": {
        "image_size": 28,
        "config": {"model_type": "dinov2", "image_size": 28, "patch_size": 14, **LAYERS},
    },
    "siglip": {
        "config": {
            "model_type": "siglip_vision_model",
            "image_size": 32,
            "patch_size": 16,
            **LAYERS,
        }
    },
}
PLAIN_SGD = {
    "class_path": "torch.optim.SGD",
    "init_args": {"lr": 0.01},
}  # keeps nothing: checkpoints of a third


@pytest.fixture
def thin(monkeypatch) -> None:
    """torchvision's largest networks as deep as they are, and thin: 10 to 86 million parameters
    take too long.
    """
    make_vit, make_layer = vision_transformer._vision_transformer, resnet.ResNet._make_layer
    make_convnext = convnext._convnext
    vit = {"hidden_dim": 48, "num_heads": 3, "mlp_dim": 96}
    monkeypatch.setattr(
        vision_transformer, "_vision_transformer", lambda **given: make_vit(**{**given, **vit})
    )
    monkeypatch.setattr(
        resnet.ResNet,
        "_make_layer",
        lambda self, block, planes, *given, **named: make_layer(
            self, block, planes // 8, *given, **named
        ),
    )

    def thin_convnext(stages, *given, **named):
        for stage in stages:
            stage.input_channels //= 8
            stage.out_channels = stage.out_channels and stage.out_channels // 8
        return make_convnext(stages, *given, **named)

    monkeypatch.setattr(convnext, "_convnext", thin_convnext)


@pytest.mark.parametrize("path", BACKBONES, ids=lambda path: path.stem)
def test_every_backbone_fits_the_demo_and_its_bundle_finds_a_photo_again(
    path, demo, thin, tmp_path, monkeypatch
):
    overlay = yaml.safe_load(path.read_text())["model"]["backbone"]
    own = "vsearch.models.backbones.torchvision.TorchvisionBackbone"
    library = overlay.get("class_path", own).split(".")[-2]
    import_module(f"vsearch.models.backbones.{library}")  # there is such a library
    package = {"efficientnet_lite": "timm"}.get(library, library)
    pytest.importorskip(package, reason=f"needs the extra {package.replace('_', '-')}")
    monkeypatch.chdir(tmp_path)
    smaller = {"weights": None, "image_size": 32, **STAND_INS.get(path.stem, {})}
    made = fit(
        tmp_path,
        TRIPLET,
        path,
        model={"backbone": {"init_args": smaller}, "optimizer": PLAIN_SGD},
        catalog=demo,
    )
    built = made.manifest["backbone"]
    assert built["class_path"].split(".")[-2] == library
    for name, value in {
        **overlay["init_args"],
        **smaller,
        "freeze": [],
    }.items():  # random weights are never frozen
        if name not in ("pool", "config"):  # these are stored whole, defaults and all
            assert built["init_args"][name] == value, name
    assert bool(built["init_args"].get("pool")) == ("pool" in overlay["init_args"])
    assert len(made.index) == N_DEMO * 8 // 10
    path = made.items["path"][0].as_py()
    assert made.search([path], 1)[0]["score"][0].as_py() == pytest.approx(1, abs=1e-4)


FASHION_HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName"
)
FASHION = {"Tshirts": 21, "Shirts": 20, "Watches": 20, "Socks": 19}  # Socks: too few, dropped


def fashion(folder: Path) -> dict[str, int]:
    """Kaggle's layout, with each kind of row that its table is known for."""
    (folder / "images").mkdir(parents=True)
    kinds = [kind for kind, count in FASHION.items() for _ in range(count)]
    rows = [
        f"{1000 + i},Men,Apparel,Topwear,{kind},Blue,Fall,2011,Casual,{kind} {i}"
        for i, kind in enumerate(kinds)
    ]
    rows.append(
        "3000,Women,Apparel,Topwear,Tshirts,Red,Fall,2011,Casual,Nice shirt, red, with commas"
    )
    rows.append("3001,Women,Free Items,Free Gifts,Tshirts,Red,Fall,2011,Casual,A gift")
    rows.append("3002,Women,Accessories,Watches,Watches,Red,Fall,2011,Casual,No photo of this one")
    (folder / "styles.csv").write_text("\n".join([FASHION_HEADER, *rows]) + "\n")
    for row, line in enumerate(rows[:-1]):
        colour = tuple(COLOURS.values())[row % 4]
        number, shade = line.split(",")[0], row // 4
        Image.new("RGB", (60, 80), (colour[0], colour[1], shade)).save(
            folder / "images" / f"{number}.jpg"
        )
    return {label: count for label, count in FASHION.items() if count >= 20}


def photos(folder: Path) -> pd.DataFrame:
    catalog = ColourCatalog(str(folder), per_label=20)
    catalog.prepare()
    return catalog.read()


def folders(root: Path) -> dict[str, int]:
    items = photos(root.parent / "drawn")
    for label, path in zip(items["label"], items["path"], strict=True):
        (root / label).mkdir(parents=True, exist_ok=True)
        Path(path).rename(root / label / Path(path).name)
    return dict.fromkeys(COLOURS, 20)


def table(folder: Path) -> dict[str, int]:
    items = photos(folder / "photos")
    items["path"] = ["photos/" + Path(path).name for path in items["path"]]
    items.to_csv(folder / "items.csv", index=False)
    return dict.fromkeys(COLOURS, 20)


def parquet(path: Path) -> dict[str, int]:
    datasets = pytest.importorskip("datasets", reason="needs the extra huggingface")
    items = photos(path.parent / "drawn")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(COLOURS))}
    )
    rows = {
        "image": [{"bytes": Path(photo).read_bytes(), "path": None} for photo in items["path"]],
        "label": items["label"].tolist(),
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path))
    return dict.fromkeys(COLOURS, 20)


def cars(folder: Path) -> dict[str, int]:
    """Classes of a table of its own for train and val, others for test, as Cars196 has them."""
    items = photos(folder / "photos")
    items["path"] = ["photos/" + Path(path).name for path in items["path"]]
    seen = items["label"].isin([*COLOURS][:2])
    first = items.groupby("label").cumcount() < 5
    items["split"] = np.where(~seen, "test", np.where(first, "val", "train"))
    items.to_csv(folder / "cars196.csv", index=False)
    return dict.fromkeys(COLOURS, 20)


LAYOUTS: dict[str, tuple[Callable[[Path], dict[str, int]], str]] = {
    "fashion": (fashion, "fashion"),
    "folder": (folders, "photos"),
    "table": (table, "catalog"),
    "cars196": (cars, "cars"),
    "huggingface": (parquet, "catalog.parquet"),
}


@pytest.mark.parametrize("finetuned", [False, True], ids=["demo recipe", "finetune"])
@pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
def test_every_catalog_is_found_where_its_config_says(
    path, finetuned, shallow, request, tmp_path, monkeypatch
):
    assert path.stem in LAYOUTS, (
        f"write a function that lays out a tiny catalog for {path.name}, and add it to LAYOUTS"
    )
    monkeypatch.chdir(tmp_path)
    if not finetuned:  # the other would draw the same photos
        request.getfixturevalue("drawing")
    lay_out, place = LAYOUTS[path.stem]
    wanted = lay_out(tmp_path / place)
    made = fit(tmp_path, TRIPLET, *([FINETUNE] if finetuned else []), path)
    protocol = made.manifest["protocol"]
    assert (protocol["items"], protocol["labels"]) == (sum(wanted.values()), len(wanted))
    assert (protocol["synthetic"], protocol["skipped_photos"]) == (False, 0)
    split = pd.read_csv(tmp_path / "lightning_logs" / "version_0" / "split.csv")
    assert len(split) == sum(wanted.values())
    report = json.loads(
        (tmp_path / "lightning_logs" / "version_0" / "bundle" / "report.json").read_text()
    )
    assert {row["label"] for row in report["per_class"]} <= set(wanted)
    indexed = {"cars196": [*COLOURS][2:]}.get(path.stem, wanted)  # unseen labels search each other
    assert set(made.items["label"].to_pylist()) == set(indexed)
    path = made.items["path"][0].as_py()
    assert made.search([path], 1)[0]["score"][0].as_py() == pytest.approx(1, abs=1e-4)
