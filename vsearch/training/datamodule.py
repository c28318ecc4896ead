import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torch.utils.data import DataLoader

from vsearch.data.catalogs.base import Catalog, CatalogError, is_blank
from vsearch.data.io.locks import one_at_a_time
from vsearch.data.photos import Preprocessing
from vsearch.data.reading import Items, check_axes, read
from vsearch.data.regions import Region, Regions
from vsearch.data.splits import FractionSplit, Split, SplitError, StratifiedSplit, write_split
from vsearch.data.views import View
from vsearch.models.backbones.cut import Cut
from vsearch.plain_text import in_spreadsheet
from vsearch.training import loaders
from vsearch.training.checks.catalog_parts import (
    check_answers,
    check_labels,
    check_pairs,
    classes_that_fit,
    require_at_least,
)
from vsearch.training.dataset import Batch, PhotoDataset, augmented_batch
from vsearch.training.distributed.ranks import make_at_rank_zero
from vsearch.training.module import MetricLearner
from vsearch.training.samplers.base import BatchPlan
from vsearch.training.samplers.batches import EpochBatches
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.samplers.rank_batches import Shares
from vsearch.training.trunk.cache import TrunkCache, TrunkMaps
from vsearch.training.validation_protocol import ValidationProtocol

log = logging.getLogger(__name__)


class CatalogDataModule(LightningDataModule):
    """Photos of a catalog, split into train, val and test, as Lightning's loaders.

    A batch is (photos uint8 (B, 3, S, S), label codes int (B,), catalog rows int (B,)).

    Args:
        catalog: where the items come from.
        split: which part each item belongs to.
        classes_per_batch: P of a PK batch, on each device; lowered if the train part has fewer
            classes. N devices train on N * P classes at once.
        photos_per_class: K of a PK batch; classes with fewer photos give all of them.
        sampler: which training photos form a batch; null for PK batches. Validation always uses PK
            batches, so that `val/loss` stays comparable.
        augment: torchvision v2 transforms for training photos, applied in order to uint8 (3, S, S),
            by the workers.
        batch_augment: the same for whole batches on the device: modules that take float (B, 3, S,
            S), 0..1, and augment each photo independently, as kornia's do.
        eval_views: views of each photo that are embedded in addition to it after training: the
            index and its queries are means over all of them. Validation uses no views.
        index_views: parts of each photo whose embeddings the index holds beside that of the whole
            photo, so that a product is found in a part. Queries are whole photos.
        eval_batch_size: photos embedded at a time outside training, on each device.
        num_workers: processes that decode photos; 0 decodes in the main process, with a thread per
            core. Null chooses: 2 if a CPU trains, most of the cores if a GPU does.
        on_bad_image: `skip` leaves out photos that can't be read, and lists them in the run's
            skipped.csv; `error` stops before training.
        seed: decides batches and augmentation.
        axes: metadata columns that the report measures in addition to the label and to the columns
            in `model.axis_losses`.
        group: the column, such as a product id, whose equal values are photos of one product. Hits
            of a search are then products, and a split that is drawn keeps each in one part unless
            it has another `group`. A photo without a value is a product. Null: each photo is one.
        fuse: a product's score: that of its `best` photo, or the `mean` over all of its photos.
        trunk_cache: compute the output of the frozen stages once for each photo, and keep it on
            disk. Batches of a fit then hold maps (B, C, h, w) instead of photos.
    """

    items: pd.DataFrame
    content_hashes: pd.Series  # of each item's pixels

    def __init__(
        self,
        catalog: Catalog,
        split: Split | None = None,
        classes_per_batch: int = 16,
        photos_per_class: int = 4,
        sampler: BatchPlan | None = None,
        augment: list[nn.Module] | None = None,
        batch_augment: list[nn.Module] | None = None,
        eval_views: list[View] | None = None,
        index_views: Regions | None = None,
        eval_batch_size: int = 64,
        num_workers: int | None = 0,
        on_bad_image: Literal["skip", "error"] = "error",
        seed: int = 0,
        axes: list[str] | None = None,
        group: str | None = None,
        fuse: Literal["best", "mean"] = "best",
        trunk_cache: TrunkCache | None = None,
    ) -> None:
        super().__init__()
        require_at_least(2, classes_per_batch=classes_per_batch)
        require_at_least(1, photos_per_class=photos_per_class, eval_batch_size=eval_batch_size)
        require_at_least(0, num_workers=num_workers or 0)
        if batch_augment and trunk_cache:
            raise SplitError(
                "`data.batch_augment` has no effect on maps in `data.trunk_cache`: set one of them "
                "to null."
            )
        if index_views is not None and fuse == "mean":
            raise SplitError(
                "`data.fuse: mean` compares whole photos, and `data.index_views` parts of them: "
                "set fuse to `best`, or index_views to null."
            )
        if fuse == "mean" and group is None:
            raise SplitError(
                "`data.fuse: mean` needs products: name the column of them in `data.group`."
            )
        self.catalog = catalog
        self.split = split or StratifiedSplit()
        if isinstance(self.split, FractionSplit) and group != "label":
            self.split.group = self.split.group or group
        self.classes_per_batch = classes_per_batch
        self.photos_per_class = photos_per_class
        self.sampler = sampler or PKPlan()
        self.augment = nn.Sequential(*augment) if augment else None
        self.batch_augment = nn.Sequential(*batch_augment) if batch_augment else None
        self.eval_views = tuple(eval_views or ())
        self.index_views = index_views
        self.eval_batch_size = eval_batch_size
        self.num_workers = loaders.workers() if num_workers is None else num_workers
        self.on_bad_image = on_bad_image
        self.seed = seed
        self.axes = axes or []
        self.group = group
        self.fuse = fuse
        self.trunk_cache = trunk_cache
        self.skipped = pd.DataFrame()
        self._chooses_workers = num_workers is None
        self._is_read = False
        self._written_to = Path()
        self._preprocessing: Preprocessing | None = None
        self._cut: Cut | None = None

    def prepare_data(self) -> None:
        """Let the catalog make its photos, if necessary."""
        with one_at_a_time(f"{type(self.catalog)} {vars(self.catalog)}"):
            self.catalog.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read the catalog, write split.csv and skipped.csv, and configure the model's validation.

        It also tells the model whether batches hold photos or maps, and which views to embed.
        """
        trainer = self.trainer
        if trainer is None:
            return self.read()
        if self._chooses_workers:
            self.num_workers = loaders.workers(trainer.num_devices)
        if not self._is_read:  # this decodes every photo: only one rank does it
            self._take(make_at_rank_zero(trainer, self._read))
        self._check_parts()
        self._write_split(trainer)

        model = cast(MetricLearner, trainer.lightning_module)
        model.protocol = self.validation_protocol()
        self.axes = [*dict.fromkeys([*self.axes, *model.axis_losses.weights])]
        self._preprocessing = replace(
            model.backbone.preprocessing, views=self.eval_views, index_views=self.index_views
        )
        model.backbone.preprocessing = self._preprocessing
        self._cut = None
        if self.trunk_cache is not None and trainer.state.fn == TrainerFn.FITTING:
            self._cut = model.embedder.cut
            if self._cut is None:
                rank_zero_warn(
                    "data.trunk_cache isn't used: the backbone doesn't begin with a chain of "
                    "frozen stages."
                )
        model.takes_maps = self.gives_maps

    @property
    def gives_maps(self) -> bool:
        """Whether loaders return maps of the trunk cache instead of photos."""
        return self._cut is not None

    def read(self) -> None:
        """Prepare, read, check and split the catalog, once, without a trainer."""
        if not self._is_read:
            self._take(self._read())
        self._check_parts()

    def validation_protocol(self) -> ValidationProtocol:
        """Return how val photos are searched."""
        return ValidationProtocol(
            queries=self.queries("val").index.to_numpy(),
            gallery=self.gallery("val").index.to_numpy(),
            exclusion_keys=self.exclusion_keys(),
            classes_per_batch=self.classes_per_batch,
            photos_per_class=self.photos_per_class,
            seed=self.seed,
        )

    def axis_codes(self, axes: Sequence[str]) -> dict[str, np.ndarray]:
        """Return codes of each axis's values, int (n_items,), by row of the catalog.

        They number the values of at least two train photos, since a single photo has no partner.
        Other and missing values are -1.

        Raises:
            CatalogError: the catalog lacks an axis, or an axis has fewer than two such values.
        """
        self.read()
        metadata = self.items.drop(columns=["split", "label_code"])
        check_axes(metadata, axes, type(self.catalog).__name__, "model.axis_losses")
        is_train = self.items["split"] == "train"
        codes = {}
        for axis in axes:
            values = metadata[axis].astype(str).mask(is_blank(metadata[axis]))
            counts = values[is_train].value_counts()
            known = pd.Index(sorted(counts.index[counts >= 2]))
            if len(known) < 2:
                raise CatalogError(
                    f"`model.axis_losses.{axis}`: fewer than two of its values have 2 train "
                    "photos, so there is nothing to learn: leave it out."
                )
            codes[axis] = known.get_indexer(values)
        return codes

    def _read(self) -> Items:
        self.prepare_data()
        return read(self.catalog, self.split, self.axes, self.on_bad_image, self.group)

    def _take(self, found: Items) -> None:
        self.items = found.items
        self.content_hashes = found.content_hashes
        self.skipped = found.skipped
        self._is_read = True
        if not (self.items["split"] == "test").any():
            log.warning(
                "The split has no test part: measuring on val, which chooses the best epoch "
                "(optimistic)."
            )

    def _check_parts(self) -> None:
        rank, world_size = self._rank_and_world_size
        train = self.part("train")
        check_labels(self.items)
        for part in ("train", "val"):
            check_pairs(part, self.items, self.split)
        if self.sampler.by_label:
            self.classes_per_batch = classes_that_fit(train, self.classes_per_batch, world_size)
        self._batches("train", self.sampler, rank, world_size)
        self._batches("val", PKPlan())
        check_answers(self.queries("test"), self.gallery("test"))

    def _write_split(self, trainer: Trainer) -> None:
        folder = trainer.log_dir  # all ranks must ask for it at once
        if folder is None or trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        run = Path(folder)
        if run == self._written_to:
            return
        run.mkdir(parents=True, exist_ok=True)
        write_split(self.items, self.items["split"], run / "split.csv")
        if self.n_skipped:
            self.skipped.map(in_spreadsheet).to_csv(run / "skipped.csv", index=False)
        self._written_to = run

    @property
    def _rank_and_world_size(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    @property
    def n_skipped(self) -> int:
        """How many photos were left out because they can't be read."""
        return len(self.skipped)

    @property
    def n_labels(self) -> int:
        """How many labels the catalog has."""
        return int(self.items["label_code"].max()) + 1

    @property
    def label_names(self) -> list[str]:
        """The text of each label code."""
        return sorted(self.items["label"].unique())

    def part(self, name: str) -> pd.DataFrame:
        """Return the items of `train`, `val` or `test`; if test is empty, those of `val`."""
        items = self.items[self.items["split"] == name]
        return self.part("val") if name == "test" and items.empty else items

    def queries(self, part: str) -> pd.DataFrame:
        """Return the items of `part` that search: all, or those flagged `is_query`."""
        return _flagged(self.part(part), "is_query")

    def gallery(self, part: str) -> pd.DataFrame:
        """Return the items that queries of `part` search.

        If the catalog has flags, they are the items of `part` with `is_gallery`; else the train
        part, or `part` itself, as the split says.
        """
        if "is_gallery" in self.items:
            return _flagged(self.part(part), "is_gallery")
        return self.part("train" if self.split.gallery == "train" else part)

    def exclusion_keys(self) -> np.ndarray:
        """Return int (n_items,): hits with a query's key (itself or its `sequence`) don't count."""
        rows = np.arange(len(self.items))
        if "sequence" not in self.items:
            return rows
        codes = pd.factorize(self.items["sequence"])[0]
        return np.where(codes >= 0, len(rows) + codes, rows)

    def loader(self, items: pd.DataFrame, **batches: Any) -> DataLoader:
        """Return a loader over `items` in their order, without augmentation.

        `batches` are a DataLoader's settings; without any, a batch has `eval_batch_size` photos.
        """
        settings = batches or {"batch_size": self.eval_batch_size}
        return self._loader(items, augmented=False, **settings)

    def photo_loader(self, items: pd.DataFrame, region: Region | None = None) -> DataLoader:
        """Return what `loader` does, with photos, or a part of each, even with a trunk cache."""
        assert self._preprocessing is not None
        photos = PhotoDataset(items, self._preprocessing, region=region)
        return loaders.loader(photos, self.num_workers, batch_size=self.eval_batch_size)

    def train_dataloader(self) -> DataLoader:
        """Return the loader of the sampler's batches; an epoch is one pass over the train part."""
        batches = self._batches("train", self.sampler, *self._rank_and_world_size)
        return self._loader(self.part("train"), augmented=True, batch_sampler=batches)

    def val_dataloader(self) -> DataLoader:
        """Return the val part, in order."""
        return self._own_share(self.part("val"))

    def test_dataloader(self) -> list[DataLoader]:
        """Return two loaders: the test queries and the gallery that they search."""
        return [self._own_share(self.queries("test")), self._own_share(self.gallery("test"))]

    def predict_dataloader(self) -> DataLoader:
        """Return the whole catalog, in order."""
        return self._own_share(self.items)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training photos on the device; seed, batch number and rank decide how."""
        trainer = self.trainer
        if self.batch_augment is None or trainer is None or not trainer.training:
            return batch
        seed = (self.seed, trainer.fit_loop.total_batch_idx + 1, trainer.global_rank)
        photos, labels, rows = batch
        return augmented_batch(photos, self.batch_augment, seed), labels, rows

    def _loader(self, items: pd.DataFrame, augmented: bool, **batches: Any) -> DataLoader:
        if self._preprocessing is None:
            raise RuntimeError(
                "CatalogDataModule takes the photo size from the model: use it through a Trainer."
            )
        maps = self._trunk_maps(self._preprocessing)
        if maps is None:
            augment = self.augment if augmented else None
            photos = PhotoDataset(items, self._preprocessing, augment)
            return loaders.loader(photos, self.num_workers, **batches)
        hashes = self.content_hashes[items.index]
        dataset = maps.augmented(items, hashes) if augmented else maps.plain(items, hashes)
        return loaders.loader(dataset, **batches)

    def _own_share(self, items: pd.DataFrame) -> DataLoader:
        rank, world_size = self._rank_and_world_size
        if world_size == 1:
            return self.loader(items)
        shares = Shares(len(items), self.eval_batch_size, rank, world_size)
        return self.loader(items, batch_sampler=shares)

    def _batches(
        self, part: str, plan: BatchPlan, rank: int = 0, world_size: int = 1
    ) -> EpochBatches:
        items = self.part(part)
        try:
            return EpochBatches(
                plan,
                items["label_code"].to_numpy(),
                self.classes_per_batch,
                self.photos_per_class,
                self.seed,
                self._current_epoch,
                items,
                rank,
                world_size,
            )
        except ValueError as error:
            reason = str(error).replace("this part", f"the {part} part")
            raise SplitError(reason) from error

    def _current_epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0

    def _trunk_maps(self, preprocessing: Preprocessing) -> TrunkMaps | None:
        """Return the maps of the frozen stages, in a fit with a trunk cache."""
        trainer = self.trainer
        if self.trunk_cache is None or self._cut is None or trainer is None:
            return None
        return TrunkMaps(
            self.trunk_cache,
            self._cut,
            preprocessing,
            self.augment,
            self.seed,
            str(trainer.precision),
            trainer.precision_plugin.forward_context,
        )


def _flagged(items: pd.DataFrame, flag: str) -> pd.DataFrame:
    return items[items[flag].fillna(False).astype(bool)] if flag in items else items
