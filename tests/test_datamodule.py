from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TinyBackbone
from PIL import Image
from torchvision.transforms import v2

from vsearch.catalogs.base import Catalog
from vsearch.datamodule import CatalogDataModule, PhotoDataset, boxes
from vsearch.images import PhotoError, load
from vsearch.splits import ColumnSplit, LabelDisjointSplit, SplitError, StratifiedSplit


def module(catalog, tmp_path, epoch: int = 0, **arguments) -> CatalogDataModule:
    data = CatalogDataModule(catalog, **{"classes_per_batch": 4, "photos_per_class": 2, **arguments})
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(backbone=TinyBackbone()),
        log_dir=str(tmp_path / "run"),
        fast_dev_run=False,
        current_epoch=epoch,
    )
    data.prepare_data()
    data.setup("fit")
    return data


class Changed(Catalog):
    """Another catalog's items, changed."""

    def __init__(self, catalog, change) -> None:
        self.catalog, self.change = catalog, change

    def read(self) -> pd.DataFrame:
        return self.change(self.catalog.read())


def test_parts_cover_the_catalog_once_and_the_split_is_written(colours, tmp_path):
    data = module(colours, tmp_path, split=StratifiedSplit(train=0.6, val=0.2, test=0.2))
    assert len(data.items) == 80
    assert sum(len(data.part(name)) for name in ("train", "val", "test")) == 80
    written = pd.read_csv(tmp_path / "run" / "split.csv")
    assert written["split"].tolist() == data.items["split"].tolist()
    assert data.label_names == ["blue", "green", "grey", "red"]
    assert [data.label_names[code] for code in data.items["label_code"]] == data.items["label"].tolist()


def test_setup_reads_once(colours, tmp_path):
    data = module(colours, tmp_path)
    items = data.items
    data.setup("test")
    assert data.items is items


def test_train_batches_are_pk_and_repeat_with_seed_and_epoch(colours, tmp_path):
    def epoch(number: int, workers: int = 0) -> list[torch.Tensor]:
        augment = [v2.RandomHorizontalFlip(), v2.RandomAffine(degrees=20, fill=255)]
        data = module(colours, tmp_path, epoch=number, augment=augment, num_workers=workers)
        state = torch.get_rng_state()
        batches = list(data.train_dataloader())
        for photos, labels, _ in batches:
            assert photos.shape == (8, 3, 16, 16)
            assert np.bincount(labels).tolist() == [2, 2, 2, 2]
        assert workers or torch.equal(torch.get_rng_state()[:8], state[:8])
        return [photos for photos, _, _ in batches]

    def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
        return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))

    assert same(epoch(0), epoch(0, workers=2))
    assert not same(epoch(0), epoch(1))


def test_evaluation_photos_are_those_of_images_py_in_order(colours, tmp_path):
    data = module(colours, tmp_path)
    photos, labels, rows = next(iter(data.val_dataloader()))
    part = data.part("val")
    assert rows.tolist() == part.index.tolist()
    assert labels.tolist() == part["label_code"].tolist()
    for photo, path in zip(photos, part["path"], strict=True):
        assert torch.equal(photo, load(path, TinyBackbone().preprocessing))


def test_boxes_are_cropped(tmp_path):
    photo = Image.new("RGB", (20, 10), "red")
    photo.paste("blue", (10, 0, 20, 10))
    photo.save(tmp_path / "two.png")
    items = pd.DataFrame({"path": [str(tmp_path / "two.png")] * 3, "label_code": 0})
    items[["x_1", "y_1", "x_2", "y_2"]] = [[0, 0, 10, 10], [10, 0, 20, 10], [np.nan] * 4]
    dataset = PhotoDataset(items, TinyBackbone().preprocessing)
    left, right, whole = (dataset[i][0] for i in range(3))
    assert left[2].max() == -1
    assert right[0].max() == -1
    assert whole[0].max() == whole[2].max() == 1
    assert boxes(items)[0] == (0, 0, 10, 10)
    assert boxes(items)[2] is None


def break_photos(catalog, names) -> None:
    for name in names:
        (catalog.folder / f"{name}.png").write_bytes(b"not a photo")


def test_broken_photos_are_skipped_counted_and_listed(colours, tmp_path):
    break_photos(colours, ["red-3", "blue-0"])
    data = module(colours, tmp_path, on_bad_image="skip")
    assert len(data.items) == 78
    assert data.n_skipped == 2
    listed = pd.read_csv(tmp_path / "run" / "skipped.csv")
    assert set(listed["id"]) == {"red-3", "blue-0"}
    assert listed["error"].str.contains("png").all()
    assert data.items.index.tolist() == list(range(78))


def test_broken_photos_stop_the_run_when_asked(colours, tmp_path):
    break_photos(colours, ["red-3"])
    with pytest.raises(PhotoError, match=r"(?s)1 photos can't be used.*red-3.*on_bad_image: skip"):
        module(colours, tmp_path, on_bad_image="error")


def test_copies_stay_on_one_side(colours, tmp_path):
    for number in range(10):
        (colours.folder / f"red-{number}.png").write_bytes((colours.folder / "red-0.png").read_bytes())
    for seed in range(3):
        items = module(colours, tmp_path, split=StratifiedSplit(0.6, 0.2, 0.2, seed=seed)).items
        assert items[items["id"].isin([f"red-{n}" for n in range(10)])]["split"].nunique() == 1


def test_gallery_is_train_or_the_part_itself_as_the_split_says(colours, tmp_path):
    data = module(colours, tmp_path, split=StratifiedSplit(0.6, 0.2, 0.2))
    assert set(data.gallery("test")["split"]) == {"train"}
    data = module(colours, tmp_path, split=LabelDisjointSplit(0.5, 0.5, 0))
    assert data.gallery("test").equals(data.part("test"))
    assert set(data.part("test")["label"]).isdisjoint(data.part("train")["label"])


def test_open_metric_learnings_flags_and_sequences(colours, tmp_path):
    def flags(items: pd.DataFrame) -> pd.DataFrame:
        number = items["id"].str.split("-").str[1].astype(int)
        val = number >= 14
        items["split"] = np.where(val, "validation", "train")
        items["is_query"] = (number % 2 == 0).where(val)
        items["is_gallery"] = (number % 3 == 0).where(val)
        items["sequence"] = np.where(number < 16, "s" + items["label"], None)
        return items

    data = module(Changed(colours, flags), tmp_path, split=ColumnSplit())
    assert data.queries("val")["id"].str.split("-").str[1].astype(int).mod(2).eq(0).all()
    assert data.gallery("val")["id"].str.split("-").str[1].astype(int).mod(3).eq(0).all()
    assert data.queries("test").equals(data.queries("val"))  # no test part: val stands in
    keys = pd.Series(data.exclusion_keys())
    in_sequence = data.items["sequence"].notna()
    assert keys[in_sequence].groupby(data.items["label"]).nunique().eq(1).all()
    assert keys[~in_sequence].is_unique
    assert not set(keys[in_sequence]) & set(keys[~in_sequence])


def test_without_a_trainer_the_size_is_unknown(colours):
    data = CatalogDataModule(colours)
    data.setup()
    with pytest.raises(RuntimeError, match="use it through a Trainer"):
        data.val_dataloader()


def test_a_part_too_small_for_a_batch_stops_before_training(colours, tmp_path):
    with pytest.raises(ValueError, match=r"The val part is too small.*K=4 photos.*1 classes"):
        module(colours, tmp_path, split=LabelDisjointSplit(0.5, 0.25, 0.25), photos_per_class=4)


def test_a_val_part_in_which_nothing_can_be_found_stops_before_training(colours, tmp_path):
    def lone(items: pd.DataFrame) -> pd.DataFrame:
        number = items["id"].str.split("-").str[1].astype(int)
        return items.assign(split=np.where(number == 0, "val", "train"))

    with pytest.raises(SplitError, match="No label has 2 photos in the val part"):
        module(Changed(colours, lone), tmp_path, split=ColumnSplit(), photos_per_class=1)


def test_a_catalogs_own_split_is_never_redrawn(colours, tmp_path):
    given = Changed(colours, lambda items: items.assign(split="train"))
    with pytest.raises(SplitError, match=r"column 'split', which StratifiedSplit would ignore.*ColumnSplit"):
        module(given, tmp_path)


def test_only_broken_photos(colours, tmp_path):
    break_photos(colours, colours.read()["id"])
    with pytest.raises(PhotoError, match="None of the 80 photos can be used"):
        module(colours, tmp_path, on_bad_image="skip")


def test_a_gallery_without_the_querys_labels_stops_before_training(colours, tmp_path):
    def parts(items: pd.DataFrame) -> pd.DataFrame:
        part = items["label"].map({"red": "train", "green": "train", "blue": "val", "grey": "test"})
        number = items["id"].str.split("-").str[1].astype(int)
        return items.assign(split=part.where(~((items["label"] == "red") & (number < 5)), "val"))

    given = Changed(colours, parts)
    with pytest.raises(SplitError, match=r"No test query's label.*gallery self"):
        module(given, tmp_path, split=ColumnSplit())
    assert module(given, tmp_path, split=ColumnSplit(gallery="self")).gallery("test")["label"].unique() == ["grey"]
