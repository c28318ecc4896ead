import logging
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torch.utils.data import DataLoader

from vsearch.data.catalogs.base import Catalog
from vsearch.data.io.locks import one_at_a_time
from vsearch.data.photos import Preprocessing
from vsearch.data.reading import Items, read
from vsearch.data.splits import Split, SplitError, StratifiedSplit, write_split
from vsearch.models.backbones.base import Backbone
from vsearch.models.embedder import Embedder
from vsearch.training import loaders as loading
from vsearch.training.dataset import Batch, PhotoDataset, augmented_batch
from vsearch.training.distributed.ranks import from_rank_zero
from vsearch.training.samplers.base import BatchPlan
from vsearch.training.samplers.batches import EpochBatches
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.samplers.rank_batches import Shares
from vsearch.training.trunk.cache import TrunkCache, TrunkMaps

log = logging.getLogger(__name__)


class CatalogDataModule(LightningDataModule):
    """Photos of a catalog, split into train, val and test, as Lightning's loaders.

    A batch is (photos uint8 (B, 3, S, S), label codes int (B,), catalog rows int (B,)).

    Args:
        catalog: where the items come from.
        split: which part each item belongs to.
        classes_per_batch: P of a PK batch, on each device: N devices train on N * P classes at
            once, at most the number of those in the train part, unless the sampler isn't
            `by_label`.
        photos_per_class: K of a PK batch; classes with fewer photos give those they have
            (`PKPlan`).
        sampler: which training photos meet in a batch; null for PK batches. Validation always uses
            PK batches, so that `val/loss` stays comparable.
        augment: torchvision v2 transforms for training photos, applied in order to uint8 (3, S, S),
            by the workers.
        batch_augment: the same for whole batches on the device: modules that take float (B, 3, S,
            S), 0..1, and treat each photo in a way of its own, as kornia's do.
        eval_batch_size: photos embedded at a time outside training, on each device.
        num_workers: processes that decode photos while the network computes; 0 decodes in the main
            process, by a thread per core. Null chooses: 2 beside a CPU that computes, most of the
            cores beside a GPU.
        on_bad_image: what to do about photos that can't be read: `skip` counts them and lists them
            in the run's skipped.csv; `error` stops before training.
        seed: decides batches and augmentation.
        axes: columns of metadata that the report measures beside the label: further axes of
            evaluation.
        trunk_cache: compute what the frozen stages make of each photo once, and keep it on the
            disk; null computes it in every epoch. Batches of a fit then hold maps (B, C, h, w) in
            place of photos.

    Raises:
        SplitError: P is below 2, K or the size of other batches below 1, or the number of workers
            below 0.
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
        eval_batch_size: int = 64,
        num_workers: int | None = 0,
        on_bad_image: Literal["skip", "error"] = "error",
        seed: int = 0,
        axes: list[str] | None = None,
        trunk_cache: TrunkCache | None = None,
    ) -> None:
        super().__init__()
        _require("classes_per_batch", classes_per_batch, 2)
        _require("photos_per_class", photos_per_class, 1)
        _require("eval_batch_size", eval_batch_size, 1)
        _require("num_workers", num_workers or 0, 0)
        self.catalog, self.split = catalog, split or StratifiedSplit()
        self.p, self.k = classes_per_batch, photos_per_class
        self.sampler = sampler or PKPlan()
        self.augment = nn.Sequential(*augment) if augment else None
        self.batch_augment = nn.Sequential(*batch_augment) if batch_augment else None
        if self.batch_augment and trunk_cache:
            raise SplitError(
                "`data.batch_augment` can't change what `data.trunk_cache` keeps: set one of them "
                "to null."
            )
        self._chooses_workers = num_workers is None
        self.num_workers = loading.workers() if num_workers is None else num_workers
        self.eval_batch_size, self.on_bad_image, self.seed = eval_batch_size, on_bad_image, seed
        self.axes, self.trunk_cache = axes or [], trunk_cache
        self.skipped = pd.DataFrame()
        self._is_read, self._written_to = False, Path()

    def prepare_data(self) -> None:
        """Let the catalog make its photos, if it has to."""
        self._prepare()

    def _prepare(self) -> None:
        with one_at_a_time(f"{type(self.catalog)} {vars(self.catalog)}"):
            self.catalog.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Read the catalog, and write split.csv and skipped.csv into the run's folder, once."""
        trainer = self.trainer
        if trainer is None:
            return self.read()
        if self._chooses_workers:
            self.num_workers = loading.workers(trainer.num_devices)
        if not self._is_read:  # every photo is decoded: by one rank, not by all
            self._take(from_rank_zero(trainer, self._read))
        self._check_parts()
        folder = self._run_folder(trainer)
        if folder is not None and folder != self._written_to and trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            write_split(self.items, self.items["split"], folder / "split.csv")
            if self.n_skipped:
                self.skipped.to_csv(folder / "skipped.csv", index=False)
            self._written_to = folder

    def read(self) -> None:
        """Prepare, read, check and split the catalog, once; needs no trainer and writes nothing of
        the run.

        Raises:
            CatalogError: the catalog can't be read.
            PhotoError: photos can't be used.
            SplitError: the catalog can't be split as asked, or its parts can't be trained on and
                measured.
        """
        if not self._is_read:
            self._take(self._read())
        self._check_parts()

    def _read(self) -> Items:
        self._prepare()
        return read(self.catalog, self.split, self.axes, self.on_bad_image)

    def _take(self, found: Items) -> None:
        self.items, self.content_hashes, self.skipped = (
            found.items,
            found.content_hashes,
            found.skipped,
        )
        self._is_read = True
        if not (self.items["split"] == "test").any():
            log.warning(
                "The split has no test part: measuring on val, which chooses the best epoch "
                "(optimistic)."
            )

    def _check_parts(self) -> None:
        """Say now what would fail after the first epoch, or after the last."""
        for name, plan in (("train", self.sampler), ("val", PKPlan())):
            self._batches(name, plan, *(self._rank_and_world if name == "train" else (0, 1)))
            if not self.part(name)["label_code"].duplicated().any():
                raise SplitError(
                    f"No label has 2 photos in the {name} part: enlarge it, or add photos."
                )
        classes, world = self.part("train")["label_code"].nunique(), self._rank_and_world[1]
        if self.sampler.by_label and self.p * world > classes:
            each = f", on each of {world} devices" if world > 1 else ""
            fits = (
                f"set it to {classes // world} or less"
                if classes >= 2 * world
                else "train on fewer devices"
            )
            raise SplitError(
                f"`data.classes_per_batch` is {self.p}{each}, but the train part has {classes} "
                f"classes: {fits}."
            )
        if not self.queries("test")["label_code"].isin(self.gallery("test")["label_code"]).any():
            raise SplitError(
                "No test query's label is in the gallery that it searches. If the parts have "
                "labels of their own, set `--data.split.init_args.gallery self`."
            )

    def _run_folder(self, trainer: Trainer) -> Path | None:
        folder = trainer.log_dir  # asked of all ranks at once
        return None if folder is None or trainer.fast_dev_run else Path(folder)  # type: ignore[attr-defined]

    @property
    def _rank_and_world(self) -> tuple[int, int]:
        return (
            (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        )

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
        """Return the items of `train`, `val` or `test`; `val` stands in for an empty test part."""
        items = self.items[self.items["split"] == name]
        return self.part("val") if name == "test" and items.empty else items

    def queries(self, part: str) -> pd.DataFrame:
        """Return the items of `part` that search: all, or those flagged `is_query`."""
        return _flagged(self.part(part), "is_query")

    def gallery(self, part: str) -> pd.DataFrame:
        """Return the items that queries of `part` search.

        Those of `part` flagged `is_gallery` where the catalog has flags; else the train part, or
        `part` itself, as the split says. No query finds itself.
        """
        if "is_gallery" in self.items:
            return _flagged(self.part(part), "is_gallery")
        return self.part("train" if self.split.gallery == "train" else part)

    def exclusion_keys(self) -> np.ndarray:
        """Return int (n_items,): a query never counts hits that share its key: itself, or its
        `sequence`.
        """
        rows = np.arange(len(self.items))
        if "sequence" not in self.items:
            return rows
        codes = pd.factorize(self.items["sequence"])[0]
        return np.where(codes >= 0, len(rows) + codes, rows)

    def loader(self, items: pd.DataFrame, **batches: Any) -> DataLoader:
        """Return a loader over `items` in their order, without augmentation; `batches` are a
        DataLoader's settings.
        """
        batches = batches or {"batch_size": self.eval_batch_size}
        if (maps := self._maps()) is not None:
            return loading.loader(maps.plain(items, self.content_hashes[items.index]), **batches)
        return loading.loader(PhotoDataset(items, self._preprocessing), self.num_workers, **batches)

    def _share(self, items: pd.DataFrame) -> DataLoader:
        """Return a loader over this rank's share of `items`: over all of them, if it is the only
        one.
        """
        rank, world = self._rank_and_world
        if world == 1:
            return self.loader(items)
        return self.loader(
            items, batch_sampler=Shares(len(items), self.eval_batch_size, rank, world)
        )

    def train_dataloader(self) -> DataLoader:
        """Return the loader of the sampler's batches; one epoch is one pass's worth of the train
        part.
        """
        items, batches = (
            self.part("train"),
            self._batches("train", self.sampler, *self._rank_and_world),
        )
        if (maps := self._maps()) is not None:
            return loading.loader(
                maps.augmented(items, self.content_hashes[items.index]), batch_sampler=batches
            )
        dataset = PhotoDataset(items, self._preprocessing, self.augment)
        return loading.loader(dataset, self.num_workers, batch_sampler=batches)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment training photos on the device, as the seed, the number of the batch and the rank
        decide.
        """
        trainer = self.trainer
        if self.batch_augment is None or trainer is None or not trainer.training:
            return batch
        seed = (self.seed, trainer.fit_loop.total_batch_idx + 1, trainer.global_rank)
        return augmented_batch(batch[0], self.batch_augment, seed), *batch[1:]

    def _maps(self) -> TrunkMaps | None:
        """Return what a fit keeps of the frozen stages; None where they are computed every time."""
        if (
            self.trunk_cache is None
            or self.trainer is None
            or self.trainer.state.fn != TrainerFn.FITTING
        ):
            return None
        cut = cast(Embedder, self.trainer.lightning_module.embedder).cut
        if cut is None:
            rank_zero_warn(
                "data.trunk_cache isn't used: the backbone doesn't begin with frozen stages, one "
                "by one."
            )
            return None
        context = self.trainer.precision_plugin.forward_context
        precision = str(self.trainer.precision)
        return TrunkMaps(
            self.trunk_cache, cut, self._preprocessing, self.augment, self.seed, precision, context
        )

    def _batches(self, name: str, plan: BatchPlan, rank: int, world: int) -> EpochBatches:
        items, trainer = self.part(name), self.trainer
        labels = items["label_code"].to_numpy()

        def epoch() -> int:
            return trainer.current_epoch if trainer else 0

        try:
            return EpochBatches(plan, labels, self.p, self.k, self.seed, epoch, items, rank, world)
        except ValueError as error:
            reason = str(error).replace("this part", f"the {name} part")
            raise SplitError(reason) from error

    def val_dataloader(self) -> DataLoader:
        """Return the val part, in order."""
        return self._share(self.part("val"))

    def test_dataloader(self) -> list[DataLoader]:
        """Return two loaders: the test queries and the gallery that they search."""
        return [self._share(self.queries("test")), self._share(self.gallery("test"))]

    def predict_dataloader(self) -> DataLoader:
        """Return the whole catalog, in order."""
        return self._share(self.items)

    @property
    def _preprocessing(self) -> Preprocessing:
        if self.trainer is None:
            raise RuntimeError(
                "CatalogDataModule takes the photo size from the model: use it through a Trainer."
            )
        return cast(Backbone, self.trainer.lightning_module.backbone).preprocessing


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise SplitError(f"`data.{name}` is {value}: set it to {least} or more.")


def _flagged(items: pd.DataFrame, flag: str) -> pd.DataFrame:
    return items[items[flag].fillna(False).astype(bool)] if flag in items else items
