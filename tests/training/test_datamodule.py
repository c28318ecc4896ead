import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import ColourCatalog, TinyBackbone
from torch import nn
from torchvision.transforms import v2

from vsearch.data.catalogs.base import Catalog, CatalogError
from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, open_photo, to_square
from vsearch.data.splits import ColumnSplit, LabelDisjointSplit, SplitError, StratifiedSplit
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.dataset import PhotoDataset
from vsearch.training.samplers.base import BatchPlan
from vsearch.training.samplers.category import CategoryPlan
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.samplers.random import RandomPlan
from vsearch.training.trunk.cache import TrunkCache


def module(
    catalog,
    tmp_path,
    epoch: int = 0,
    devices: int = 1,
    rank: int = 0,
    trained_on: tuple[str, ...] = (),
    **arguments,
) -> CatalogDataModule:
    data = CatalogDataModule(
        catalog, **{"classes_per_batch": 4, "photos_per_class": 2, **arguments}
    )
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(
            backbone=TinyBackbone(), axis_losses=SimpleNamespace(weights=trained_on)
        ),
        state=SimpleNamespace(fn="fit"),
        log_dir=str(tmp_path / "run"),
        fast_dev_run=False,
        current_epoch=epoch,
        world_size=devices,
        num_devices=devices,
        global_rank=rank,
        is_global_zero=rank == 0,
        strategy=SimpleNamespace(broadcast=lambda value: value),
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
    assert [data.label_names[code] for code in data.items["label_code"]] == data.items[
        "label"
    ].tolist()


def test_setup_reads_and_writes_once(colours, tmp_path):
    data = module(colours, tmp_path)
    items, split = data.items, tmp_path / "run" / "split.csv"
    split.write_text("someone's notes")
    data.setup("test")
    assert data.items is items
    assert split.read_text() == "someone's notes"
    data.trainer.log_dir = str(tmp_path / "another run")
    data.setup("test")
    assert len(pd.read_csv(tmp_path / "another run" / "split.csv")) == 80


def test_a_catalog_is_prepared_and_read_before_there_is_a_trainer(tmp_path, caplog):
    catalog = ColourCatalog(str(tmp_path / "colours"))
    data = CatalogDataModule(catalog, classes_per_batch=4)
    with caplog.at_level("INFO", logger="vsearch"):
        data.read()
        items = data.items
        data.read()
    assert data.n_labels == 4
    assert data.items is items
    assert caplog.text.count("80 items, 4 labels") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["colours"]


def test_what_was_refused_once_is_refused_again(colours):
    data = CatalogDataModule(colours, sampler=CategoryPlan("aisle"))
    for _ in range(2):
        with pytest.raises(SplitError, match="no column 'aisle'"):
            data.read()


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


class Oldest(BatchPlan):
    """Every batch is the first photos of two shelves."""

    def epoch(self, labels, items, p, k, rng):
        (shelf,) = np.unique(items["shelf"])[:1]
        return [np.flatnonzero(items["shelf"] == shelf)[: p * k].tolist()] * (
            len(labels) // (p * k)
        )


def test_a_sampler_sees_the_train_parts_columns_and_draws_for_training_only(colours, tmp_path):
    data = module(colours, tmp_path, sampler=Oldest())
    train = data.part("train")
    for _, labels, rows in data.train_dataloader():
        assert rows.tolist() == train.index[train["shelf"] == 0][:8].tolist()
        assert labels.tolist() == train.loc[rows.tolist(), "label_code"].tolist()
    assert isinstance(module(colours, tmp_path).sampler, PKPlan)
    val = [rows for _, _, rows in data.val_dataloader()]
    assert torch.cat(val).tolist() == data.part("val").index.tolist()


def test_a_samplers_missing_column_stops_before_training(colours, tmp_path):
    message = r"^`data\.sampler\.init_args\.column`.*no column 'aisle'.*'shelf'"
    with pytest.raises(SplitError, match=message):
        module(colours, tmp_path, sampler=CategoryPlan("aisle"))
    batches = list(module(colours, tmp_path, sampler=CategoryPlan("shelf", 1)).train_dataloader())
    assert len(batches) == 8


def test_fewer_classes_than_asked_for_make_smaller_batches(colours, tmp_path):
    with pytest.warns(UserWarning, match="has 4 classes: batches have 4, not the 5"):
        data = module(colours, tmp_path, classes_per_batch=5)
    assert data.classes_per_batch == 4
    assert {len(set(labels.tolist())) for _, labels, _ in data.train_dataloader()} == {4}
    data = module(colours, tmp_path, split=LabelDisjointSplit(0.5, 0.5, 0), classes_per_batch=2)
    assert data.part("train")["label"].nunique() == 2


def test_p_may_be_any_number_where_batches_are_not_by_label(colours, tmp_path):
    data = module(colours, tmp_path, sampler=RandomPlan(), classes_per_batch=16)
    assert {len(labels) for _, labels, _ in data.train_dataloader()} == {32}


def test_a_val_part_of_fewer_classes_is_fine(colours, tmp_path):
    def two_in_val(items: pd.DataFrame) -> pd.DataFrame:
        number = items["id"].str.split("-").str[1].astype(int)
        val = (number < 4) & items["label"].isin(["red", "blue"])
        return items.assign(split=np.where(val, "val", "train"))

    assert (
        module(Changed(colours, two_in_val), tmp_path, split=ColumnSplit())
        .part("val")["label"]
        .nunique()
        == 2
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes_per_batch", 1),
        ("photos_per_class", 0),
        ("eval_batch_size", 0),
        ("num_workers", -1),
    ],
)
def test_a_number_with_which_there_are_no_batches_is_refused(colours, name, value):
    with pytest.raises(SplitError, match=rf"`data\.{name}` is {value}"):
        CatalogDataModule(colours, **{name: value})


def test_more_photos_of_a_class_than_a_part_can_fill_are_refused(colours, tmp_path):
    with pytest.raises(
        SplitError,
        match=r"^`data\.photos_per_class`: .*K=5 photos.*; the val part has 4 classes and 8",
    ):
        module(colours, tmp_path, photos_per_class=5)


def test_evaluation_photos_are_those_of_images_py_in_order(colours, tmp_path):
    data = module(colours, tmp_path)
    photos, labels, rows = next(iter(data.val_dataloader()))
    part = data.part("val")
    assert rows.tolist() == part.index.tolist()
    assert labels.tolist() == part["label_code"].tolist()
    for photo, path in zip(photos, part["path"], strict=True):
        assert np.array_equal(photo, to_square(open_photo(path), TinyBackbone().preprocessing))


def test_the_number_of_workers_follows_the_machine_and_is_shared_by_its_devices(
    colours, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    for gpu, workers in ((False, 2), (True, 10)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert CatalogDataModule(colours, num_workers=None).num_workers == workers
    assert (
        module(colours, tmp_path, num_workers=None, devices=2, classes_per_batch=2).num_workers == 5
    )
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert CatalogDataModule(colours, num_workers=None).num_workers == 2


def test_evaluation_photos_are_shared_among_devices_each_once(colours, tmp_path):
    def rows(rank: int) -> list[list[int]]:
        data = module(colours, tmp_path, devices=3, sampler=RandomPlan(), eval_batch_size=2)
        data.trainer.global_rank = rank
        return [rows.tolist() for _, _, rows in data.val_dataloader()]

    part = module(colours, tmp_path).part("val").index.tolist()
    steps = list(zip(*map(rows, range(3)), strict=True))
    assert [row for step in steps for share in step for row in share] == part


def test_each_devices_p_counts_among_the_classes(colours, tmp_path):
    assert module(colours, tmp_path, devices=2, classes_per_batch=2).classes_per_batch == 2
    with pytest.warns(UserWarning, match="4 classes for 2 devices: batches have 2, not the 3"):
        assert module(colours, tmp_path, devices=2, classes_per_batch=3).classes_per_batch == 2
    with pytest.raises(SplitError, match=r"4 classes for 3 devices.*train on fewer devices"):
        module(colours, tmp_path, devices=3, classes_per_batch=2)


def test_augmented_batches_differ_by_rank_and_repeat(colours, tmp_path):
    class Noise(nn.Module):
        def forward(self, photos: torch.Tensor) -> torch.Tensor:
            return torch.rand_like(photos)

    def batch(rank: int) -> torch.Tensor:
        data = module(colours, tmp_path, devices=2, classes_per_batch=2, batch_augment=[Noise()])
        data.trainer.global_rank, data.trainer.training = rank, True
        data.trainer.fit_loop = SimpleNamespace(total_batch_idx=3)
        photos = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
        return data.on_after_batch_transfer((photos, torch.zeros(2), torch.zeros(2)), 0)[0]

    assert torch.equal(batch(1), batch(1))
    assert not torch.equal(batch(0), batch(1))


def test_a_cache_of_maps_and_augmented_batches_exclude_each_other(colours):
    with pytest.raises(SplitError, match=r"`data\.batch_augment`.*`data\.trunk_cache`"):
        CatalogDataModule(colours, batch_augment=[nn.Identity()], trunk_cache=TrunkCache())


def test_boxes_are_cropped(tmp_path):
    photo = Image.new("RGB", (20, 10), "red")
    photo.paste("blue", (10, 0, 20, 10))
    photo.save(tmp_path / "two.png")
    items = pd.DataFrame({"path": [str(tmp_path / "two.png")] * 3, "label_code": 0})
    items[["x_1", "y_1", "x_2", "y_2"]] = [[0, 0, 10, 10], [10, 0, 20, 10], [np.nan] * 4]
    dataset = PhotoDataset(items, TinyBackbone().preprocessing)
    left, right, whole = (dataset[i][0] for i in range(3))
    assert left[2].max() == 0
    assert right[0].max() == 0
    assert whole[0].max() == whole[2].max() == 255
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
        (colours.folder / f"red-{number}.png").write_bytes(
            (colours.folder / "red-0.png").read_bytes()
        )
    for seed in range(3):
        items = module(colours, tmp_path, split=StratifiedSplit(0.6, 0.2, 0.2, seed=seed)).items
        assert items[items["id"].isin([f"red-{n}" for n in range(10)])]["split"].nunique() == 1


def test_gallery_is_train_or_the_part_itself_as_the_split_says(colours, tmp_path):
    data = module(colours, tmp_path, split=StratifiedSplit(0.6, 0.2, 0.2))
    assert set(data.gallery("test")["split"]) == {"train"}
    data = module(colours, tmp_path, split=LabelDisjointSplit(0.5, 0.5, 0), classes_per_batch=2)
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
    data = CatalogDataModule(colours, classes_per_batch=4)
    data.setup()
    with pytest.raises(RuntimeError, match="use it through a Trainer"):
        data.val_dataloader()


def test_a_part_too_small_for_a_batch_stops_before_training(colours, tmp_path):
    with pytest.raises(
        ValueError, match=r"^Batches of P=2 classes x K=4 photos.*; the val part has 1 classes"
    ):
        module(
            colours,
            tmp_path,
            split=LabelDisjointSplit(0.5, 0.25, 0.25),
            classes_per_batch=2,
            photos_per_class=4,
        )


def test_a_val_part_in_which_nothing_can_be_found_stops_before_training(colours, tmp_path):
    def lone(items: pd.DataFrame) -> pd.DataFrame:
        number = items["id"].str.split("-").str[1].astype(int)
        return items.assign(split=np.where(number == 0, "val", "train"))

    with pytest.raises(SplitError, match="No label has 2 photos in the val part"):
        module(Changed(colours, lone), tmp_path, split=ColumnSplit(), photos_per_class=1)


def test_one_folder_too_high_is_told_so(colours, tmp_path):
    given = Changed(colours, lambda items: items.assign(label="dataset"))
    with pytest.raises(SplitError, match=r"one label, 'dataset'.*folder that holds these folders"):
        module(given, tmp_path)


def test_a_catalogs_own_split_is_never_redrawn(colours, tmp_path):
    given = Changed(colours, lambda items: items.assign(split="train"))
    with pytest.raises(
        SplitError, match=r"column 'split', which StratifiedSplit would ignore.*ColumnSplit"
    ):
        module(given, tmp_path)


@pytest.mark.parametrize("axes", [["shelf", "tint"], ["label"], ["shelf", "shelf"]])
def test_axes_that_are_no_metadata_stop_before_photos_are_read(colours, tmp_path, axes):
    break_photos(colours, colours.read()["id"])
    with pytest.raises(
        CatalogError, match=r"`data.axes`: \['\w+'.* can't be axes.*has \['shelf'\]"
    ):
        module(colours, tmp_path, axes=axes)


def test_a_catalog_without_metadata_says_so(colours, tmp_path):
    bare = Changed(colours, lambda items: items[["id", "path", "label"]])
    with pytest.raises(CatalogError, match=r"`data.axes`: \['shelf'\].*has none.*set it to null"):
        module(bare, tmp_path, axes=["shelf"])
    assert module(bare, tmp_path).axes == []


def with_products(catalog) -> Changed:
    """Two photos each; the last two photos of the catalog are of no product."""
    products = [f"p{n // 2}" for n in range(len(catalog.read()) - 2)]
    return Changed(catalog, lambda items: items.assign(product=[*products, None, " "]))


def test_a_products_photos_stay_in_one_part(colours, tmp_path, caplog):
    data = module(with_products(colours), tmp_path, group="product")
    assert (data.items.groupby("product")["split"].nunique() == 1).all()
    assert "products" not in caplog.text
    own = module(with_products(colours), tmp_path, split=StratifiedSplit(group="id"), group="label")
    assert own.split.group == "id"


def test_a_product_in_several_parts_is_said(colours, tmp_path, caplog):
    def parts(items: pd.DataFrame) -> pd.DataFrame:
        return items.assign(fold=(["train"] * 11 + ["val"] * 4 + ["test"] * 5) * 4)

    folds = Changed(with_products(colours), parts)
    module(folds, tmp_path, split=ColumnSplit("fold"), group="product")
    said = "`data.group: product`: 8 products lie in several parts, e.g. 'red-10' (train) and"
    assert said in caplog.text
    caplog.clear()
    module(folds, tmp_path, split=ColumnSplit("fold"), group="label")
    assert "products" not in caplog.text


@pytest.mark.parametrize("group", ["produkt", "id", "path"])
def test_a_column_that_names_no_products_stops_before_photos_are_read(colours, tmp_path, group):
    break_photos(colours, colours.read()["id"])
    with pytest.raises(
        CatalogError, match=rf"`data.group`: '{group}' isn't .*\['label', 'shelf'\] of Colour"
    ):
        module(colours, tmp_path, group=group)


def test_axes_that_are_trained_on_are_measured_too(colours, tmp_path):
    coloured = Changed(colours, lambda items: items.assign(colour=items["label"]))
    data = module(coloured, tmp_path, axes=["shelf"], trained_on=("colour", "shelf"))
    assert data.axes == ["shelf", "colour"]


def test_codes_number_what_two_train_photos_have(colours):
    """All of `shelf` has a value, few items have one of `tint`."""

    def change(items: pd.DataFrame) -> pd.DataFrame:
        parts = np.resize(["train", "train", "train", "val", "test"], len(items))
        tints = ["wine", "azure", "wine", "wine", "wine", "azure", "once", " ", None, "unseen"]
        blank = [None] * (len(items) - 10)
        return items.assign(split=parts, tint=pd.Series(tints + blank, dtype=object))

    data = CatalogDataModule(Changed(colours, change), ColumnSplit(), classes_per_batch=4)
    codes = data.axis_codes(["tint", "shelf"])
    # Of "once" there is one, of "unseen" no train photo. Val and test photos are numbered alike.
    assert codes["tint"].tolist() == [1, 0, 1, 1, 1, 0, -1, -1, -1, -1] + [-1] * 70
    assert codes["shelf"].tolist() == data.items["shelf"].tolist()


@pytest.mark.parametrize("values", [["one"] * 80, [None] * 80, [str(i) for i in range(80)]])
def test_an_axis_with_nothing_to_tell_apart_is_refused(colours, values):
    changed = Changed(colours, lambda items: items.assign(tint=values))
    data = CatalogDataModule(changed, classes_per_batch=4)
    with pytest.raises(
        CatalogError, match=r"`model.axis_losses.tint`: fewer than two of its values"
    ):
        data.axis_codes(["shelf", "tint"])


@pytest.mark.parametrize("axis", ["tint", "label", "split", "label_code"])
def test_an_axis_to_train_on_must_be_metadata(colours, axis):
    data = CatalogDataModule(colours, classes_per_batch=4)
    with pytest.raises(CatalogError, match=rf"`model.axis_losses`: \['{axis}'\].*has \['shelf'\]"):
        data.axis_codes([axis])


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
    with pytest.raises(SplitError, match=r"No test query has its label.*gallery self"):
        module(given, tmp_path, split=ColumnSplit(), classes_per_batch=2)
    own = module(given, tmp_path, split=ColumnSplit(gallery="self"), classes_per_batch=2)
    assert own.gallery("test")["label"].unique() == ["grey"]
