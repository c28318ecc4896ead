from pathlib import Path

import pytest
import torch
import torchvision
import yaml
from lightning.pytorch.loggers import CSVLogger
from tiny import ColourCatalog, TinyBackbone
from torch import Tensor, nn

from callbacks.gradual_unfreezing import GradualUnfreezing
from vsearch.cli.main import main
from vsearch.models.heads.base import Head
from vsearch.training.module import MetricLearner

TRIPLET = Path(__file__).parents[2] / "configs" / "triplet.yaml"
EMA = str(TRIPLET.parent / "extras" / "ema.yaml")
TINY = {
    "model": {
        "backbone": {"init_args": {"name": "resnet18", "weights": None, "image_size": 32}},
        "warmup_steps": 0,
    },
    "data": {
        "catalog": {"class_path": "tiny.ColourCatalog", "init_args": {"folder": "colours"}},
        "axes": [],
        "classes_per_batch": 4,
        "photos_per_class": 2,
        "num_workers": 0,
    },
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
}
LOSSES, MINERS = "pytorch_metric_learning.losses", "pytorch_metric_learning.miners"
RESNET = "vsearch.models.backbones.torchvision.TorchvisionBackbone"
COSINE = "{class_path: pytorch_metric_learning.distances.CosineSimilarity}"
SQUEEZE = "name: squeezenet1_1, weights: squeezenet.pth, image_size: 64"
FULL_PATH = "full class"


class Forgetful(TinyBackbone):
    """A plugin that doesn't keep its argument."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()


class Dimless(TinyBackbone):
    """A plugin that doesn't say how long its features are."""

    def __init__(self) -> None:
        super().__init__()
        del self.dim


class Widthless(Head):
    """A plugin whose layer can't be."""

    dim = 8

    def attach(self, features: int) -> None:
        self.layer = nn.Linear(features, -4)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


class LacksPackage(CSVLogger):
    """What Lightning's WandbLogger does without wandb."""

    def __init__(self) -> None:
        raise ModuleNotFoundError(
            "Requirement 'wandb' not met. HINT: Try running `pip install -U 'wandb'`"
        )


class LaterUnfreezing(GradualUnfreezing):
    """A plugin that inherits what it checks."""


def backbone(settings: str) -> str:
    return f"model: {{backbone: {{init_args: {{{settings}}}}}}}"


def loss(settings: str, class_path: str = f"{LOSSES}.TripletMarginLoss", miner: str = "") -> str:
    return f"model: {{loss: {{class_path: {class_path}, init_args: {{{settings}}}}}{miner}}}"


def callback(name: str, settings: str) -> str:
    return f"trainer: {{callbacks: [{{class_path: {name}, init_args: {{{settings}}}}}]}}"


def early_stopping(settings: str) -> str:
    return callback("lightning.pytorch.callbacks.EarlyStopping", settings)


def catalog(class_path: str, settings: str) -> str:
    return f"data: {{catalog: {{class_path: {class_path}, init_args: {{{settings}}}}}}}"


# What is wrong: an overlay's text or words of the command line, then what the line begins with, and
# words in it.
WRONG: dict[str, tuple[str | list[str], str, list[str]]] = {
    # names of settings
    "typo at the top": ("seed_evrything: 3", "seed_evrything", ["did you mean seed_everything?"]),
    "typo in a section": (
        "modle: {warmup_steps: 3}",
        "modle.warmup_steps",
        ["did you mean model.warmup_steps?"],
    ),
    "typo in words": (
        ["--trainer.max_epoch", "3"],
        "trainer.max_epoch",
        ["did you mean trainer.max_epochs?"],
    ),
    "typo in data": (
        "data: {classes_per_bach: 4}",
        "data.classes_per_bach",
        ["data.classes_per_batch?"],
    ),
    "typo in the loss": (
        loss("marginn: 0.2"),
        "model.loss.init_args.marginn",
        ["TripletMarginLoss", "margin?"],
    ),
    "typo in the loss, in words": (
        ["--model.loss.init_args.marginn", "0.2"],
        "model.loss.init_args.marginn",
        ["TripletMarginLoss", "did you mean margin?"],
    ),
    "unknown to the loss": (
        loss("xyz: 1"),
        "model.loss.init_args.xyz",
        ["margin, swap", "distance"],
    ),
    "typo in the loss's distance": (
        loss(
            "distance: {class_path: pytorch_metric_learning.distances.LpDistance, init_args: "
            "{powr: 2}}"
        ),
        "model.loss.init_args.distance.init_args.powr",
        ["LpDistance has no such setting", "did you mean power?"],
    ),
    "a typo in init_args": (
        f"model: {{loss: {{class_path: {LOSSES}.ArcFaceLoss, init_arg: {{margin: 28.6}}}}, "
        "miner: null}",
        "model.loss.init_arg",
        ["did you mean init_args?"],
    ),
    "a study's file": (
        ["--config", str(TRIPLET.parent / "studies" / "loss.yaml")],
        "cells.triplet",
        ["vsearch study"],
    ),
    "typo in the backbone": (
        backbone("freez: []"),
        "model.backbone.init_args.freez",
        ["did you mean freeze?"],
    ),
    "typo in the catalog": (
        "data: {catalog: {init_args: {foldr: x}}}",
        "data.catalog.init_args.foldr",
        ["ColourCatalog", "did you mean folder?"],
    ),
    "typo in a callback": (
        early_stopping("monitor: val/loss, patienc: 2"),
        "trainer.callbacks[EarlyStopping].init_args.patienc",
        ["did you mean patience?"],
    ),
    "unknown to the optimizer": (
        "model: {optimizer: {init_args: {speed: 1}}}",
        "model.optimizer.init_args.speed",
        ["AdamW has no such setting", "lr, betas"],
    ),
    "typo in the schedule": (
        "model: {lr_scheduler: {init_args: {gama: 1}}}",
        "model.lr_scheduler.init_args.gama",
        ["ExponentialLR", "did you mean gamma?"],
    ),
    "unknown to a transform": (
        "data: {augment: [{class_path: torchvision.transforms.v2.RandomHorizontalFlip, init_args: "
        "{q: 1}}]}",
        "data.augment[RandomHorizontalFlip].init_args.q",
        ["available: p"],
    ),
    "a setting that is missing": (
        "data: {catalog: {class_path: vsearch.data.catalogs.table.TableCatalog}}",
        "data.catalog.init_args.table",
        ["TableCatalog needs this"],
    ),
    "no word after an option": (
        ["--model.warmup_steps"],
        "model.warmup_steps",
        ["expected one argument"],
    ),
    "a stray word": (["quickly"], "command line", ["unrecognized arguments: quickly"]),
    # classes
    "no such class": (
        loss("", f"{LOSSES}.TripletMargin"),
        "model.loss",
        ["did you mean TripletMarginLoss?"],
    ),
    "no such module": (
        loss("", "pytorch_metric_lerning.losses.TripletMarginLoss"),
        "model.loss",
        ["No module named"],
    ),
    "no such reducer": (
        loss("reducer: {class_path: pytorch_metric_learning.reducers.MeanReducerr}"),
        "model.loss.init_args.reducer",
        ["did you mean MeanReducer?"],
    ),
    "no such optimizer": (
        "model: {optimizer: torch.optim.AdamWW}",
        "model.optimizer",
        ["did you mean AdamW?"],
    ),
    "no such callback": (
        callback("callbacks.collaps.WarnOnCollapse", ""),
        "trainer.callbacks[WarnOnCollapse]",
        ["there is no callbacks.collaps", "did you mean collapse?"],
    ),
    "a short name": (loss("", "TripletMarginLoss"), "model.loss", [FULL_PATH]),
    "a short name of nothing": (loss("", "NoSuchLoss"), "model.loss", [FULL_PATH, "NoSuchLoss"]),
    "an abstract class": (
        "model: {backbone: {class_path: vsearch.models.backbones.base.Backbone}}",
        "model.backbone",
        ["abstract"],
    ),
    "a loss as backbone": (
        ["--model.backbone", f"{LOSSES}.TripletMarginLoss"],
        "model.backbone",
        ["isn't a Backbone"],
    ),
    "a backbone as loss": (
        loss("name: resnet18, weights: null", RESNET),
        "model.loss",
        ["TorchvisionBackbone"],
    ),
    "a miner as loss": (
        loss("", f"{MINERS}.BatchHardMiner"),
        "model.loss",
        ["BatchHardMiner", "is it a loss?"],
    ),
    "a loss as miner": (
        f"model: {{miner: {{class_path: {LOSSES}.TripletMarginLoss}}}}",
        "model.miner",
        ["is it a miner?"],
    ),
    "torch's cross-entropy": (
        loss("", "torch.nn.CrossEntropyLoss", ", miner: null"),
        "model.loss",
        [
            "torch.nn.CrossEntropyLoss can't take",
            "vsearch.training.losses.classifier.ClassifierLoss",
        ],
    ),
    "torch's loss of the same name": (
        loss("", "torch.nn.TripletMarginLoss"),
        "model.loss",
        ["TripletMarginLoss"],
    ),
    "an index as loss": (
        loss("", "vsearch.indexes.faiss.FaissIndex"),
        "model.loss",
        ["FaissIndex isn't a Module"],
    ),
    "a catalog as split": (
        "data: {split: vsearch.data.catalogs.demo.DemoCatalog}",
        "data.split",
        ["DemoCatalog isn't a Split"],
    ),
    "a split as transform": (
        "data: {augment: [{class_path: vsearch.data.splits.StratifiedSplit}]}",
        "data.augment",
        ["StratifiedSplit isn't a Module"],
    ),
    # values
    "text for a number": (
        "data: {classes_per_batch: many}",
        "data.classes_per_batch",
        ["expected int, got 'many'"],
    ),
    "text for a list": (
        backbone("freeze: layer1"),
        "model.backbone.init_args.freeze",
        ["expected list", "'layer1'"],
    ),
    "text for a callback's number": (
        early_stopping("monitor: val/loss, patience: long"),
        "trainer.callbacks[EarlyStopping].init_args.patience",
        ["expected int, got 'long'"],
    ),
    "text for the learning rate": (
        "model: {optimizer: {init_args: {lr: quick}}}",
        "model.optimizer.init_args.lr",
        ["float", "'quick'"],
    ),
    "a choice that isn't one": (
        "data: {on_bad_image: ignore}",
        "data.on_bad_image",
        ["'skip', 'error'", "'ignore'"],
    ),
    "no such precision": (
        "trainer: {precision: 17-mixed}",
        "trainer.precision",
        ["bf16-mixed", "'17-mixed'"],
    ),
    "a precision with a typo": (
        "trainer: {precision: bf16_mixed}",
        "trainer.precision",
        ["expected 64, 32, 16, 'transformer-engine'", "got 'bf16_mixed'"],
    ),
    "no such accelerator": (
        "trainer: {accelerator: abacus}",
        "trainer.accelerator",
        ["abacus", "cpu"],
    ),
    "devices among which Lightning would share batches": (
        "trainer: {devices: 2, use_distributed_sampler: true}",
        "trainer.use_distributed_sampler",
        ["devices already share", "set it to false"],
    ),
    "a negative learning rate": (
        "model: {optimizer: {init_args: {lr: -1.0}}}",
        "model.optimizer",
        ["-1.0"],
    ),
    "a rate for no part": (
        "model: {lr_factors: {layer9: 0.1}}",
        "model.lr_factors",
        ["layer9", "layer4"],
    ),
    "a rate for what is frozen": (
        f"model: {{backbone: {{init_args: {{{SQUEEZE}, freeze: [features.0]}}}}, "
        "lr_factors: {features.0: 0.1}}",
        "model.lr_factors",
        ["features.0 is frozen"],
    ),
    "no embedding": (
        "model: {head: {class_path: vsearch.models.heads.linear.LinearHead, init_args: {dim: 0}}}",
        "model.head.init_args.dim",
        ["1 or more, not 0"],
    ),
    "a layer of negative width": (
        "model: {head: {class_path: vsearch.models.heads.mlp.MLPHead, init_args: {hidden: -4}}}",
        "model.head.init_args.hidden",
        ["1 or more, not -4"],
    ),
    "what a plugin's layers refuse": (
        "model: {head: {class_path: test_wrong_configs.Widthless}}",
        "model",
        ["negative dimension -4", "test_wrong_configs.py, line"],
    ),
    "a step of no batches": (
        ["--trainer.accumulate_grad_batches", "0"],
        "trainer.accumulate_grad_batches",
        ["1 or more"],
    ),
    "a learning rate of 0": (
        "model: {optimizer: {init_args: {lr: 0.0}}}",
        "model.optimizer.init_args.lr",
        ["above 0"],
    ),
    "a rate that falls to 0": (
        "model: {lr_scheduler: {init_args: {gamma: 0}}}",
        "model.lr_scheduler.init_args.gamma",
        ["above 0"],
    ),
    "a negative warm-up": (
        "model: {warmup_steps: -5}",
        "model.warmup_steps",
        ["0 or more, not -5"],
    ),
    "no epochs": ("trainer: {max_epochs: 0}", "trainer.max_epochs", ["0 trains nothing"]),
    "no val batches": (
        "trainer: {limit_val_batches: 0}",
        "trainer.limit_val_batches",
        ["monitors val/loss"],
    ),
    "no batches": (
        "trainer: {limit_train_batches: 0}",
        "trainer.limit_train_batches",
        ["0 trains nothing"],
    ),
    "a negative share": (
        "data: {split: {init_args: {train: 1.2, val: -0.1, test: -0.1}}}",
        "data.split",
        ["val=-0.1", "must be above 0"],
    ),
    "shares above 1": (
        "data: {split: {init_args: {train: 0.9, val: 0.9}}}",
        "data.split",
        ["their sum must be 1"],
    ),
    "negative P": ("data: {classes_per_batch: -4}", "data.classes_per_batch", ["-4", "2 or more"]),
    "K = 1": (
        "data: {photos_per_class: 1}",
        "data.photos_per_class",
        ["never sees two photos", "2 or more"],
    ),
    "K above the number of photos": (
        "data: {photos_per_class: 500}",
        "data.photos_per_class",
        ["K=500", "train part"],
    ),
    "K = 0": (
        "data: {photos_per_class: 0}",
        "data.photos_per_class",
        ["is 0: set it to 1 or more"],
    ),
    "batches of none": ("data: {eval_batch_size: 0}", "data.eval_batch_size", ["1 or more"]),
    "an unknown axis": ("data: {axes: [colour]}", "data.axes", ["colour", "shelf"]),
    "a category that is no column": (
        "data: {sampler: {class_path: vsearch.training.samplers.category.CategoryPlan, init_args: "
        "{column: kind}}}",
        "data.sampler.init_args.column",
        ["'kind'", "the catalog has ['shelf']"],
    ),
    "text for a distance": (
        loss(f"distance: {LOSSES}.LpDistance"),
        "model.loss.init_args.distance",
        ["write it as `class_path: "],
    ),
    # lists
    "a logger that isn't installed": (
        "trainer: {logger+: [{class_path: test_wrong_configs.LacksPackage}]}",
        "trainer.logger[LacksPackage]",
        ["wandb", "`uv pip install -U "],
    ),
    "a logger alone that isn't installed": (
        "trainer: {logger: {class_path: test_wrong_configs.LacksPackage}}",
        "trainer.logger",
        ["wandb", "`uv pip install -U "],
    ),
    "an overlay twice": (
        ["--config", EMA, "--config", EMA],
        "trainer.callbacks[EMAWeightAveraging]",
        ["occurs twice", "remove one"],
    ),
    "a wrong value in a list's second callback": (
        "trainer: {callbacks+: [{class_path: lightning.pytorch.callbacks.EarlyStopping, "
        "init_args: {monitor: val/loss, mode: big}}]}",
        "trainer.callbacks[EarlyStopping].init_args.mode",
        ["min, max, got big"],
    ),
    "a wrong value in a callback without a list": (
        "trainer: {callbacks: {class_path: lightning.pytorch.callbacks.EarlyStopping, "
        "init_args: {monitor: val/loss, mode: big}}}",
        "trainer.callbacks.init_args.mode",
        ["min, max, got big"],
    ),
    # networks and weights
    "no such network": (backbone("name: resnet19"), "model.backbone", ["resnet19"]),
    "no such stage": (
        backbone("freeze: [layer9]"),
        "model.backbone.init_args.freeze",
        ["layer9", "layer4"],
    ),
    "no such weights": (
        backbone("weights: IMAGENET9"),
        "model.backbone.init_args.weights",
        ["IMAGENET1K_V1"],
    ),
    "no such weights file": (
        backbone("weights: gone.pth"),
        "model.backbone.init_args.weights",
        ["no file gone.pth"],
    ),
    "weights that are none": (
        backbone("weights: garbage.pth"),
        "model.backbone.init_args.weights",
        ["garbage.pth", "it isn't a PyTorch file"],
    ),
    "weights of another network": (
        backbone("weights: squeezenet.pth"),
        "model.backbone.init_args.weights",
        ["squeezenet.pth does not fit resnet18"],
    ),
    "a size that the network can't take": (
        backbone("name: vit_b_16, image_size: 30"),
        "model.backbone.init_args.image_size",
        ["16"],
    ),
    "a photo of one pixel": (
        backbone("image_size: 1"),
        "model.backbone.init_args.image_size",
        ["1 is too small", "8 or more"],
    ),
    "a photo of none": (
        backbone("image_size: 0"),
        "model.backbone.init_args.image_size",
        ["0 is too small", "224"],
    ),
    "a stage without parameters": (
        backbone(f"{SQUEEZE}, freeze: [features.2]"),
        "model.backbone.init_args.freeze",
        ["'features.2' has no parameters", "features.3"],
    ),
    "nothing to train": (
        backbone(f"{SQUEEZE}, freeze: [all]"),
        "model.backbone.init_args.freeze",
        ["nothing is left to train"],
    ),
    "unfreezing no stage": (
        callback("callbacks.gradual_unfreezing.GradualUnfreezing", "schedule: {layer9: 1}"),
        "trainer.callbacks[GradualUnfreezing].init_args.schedule",
        ["layer9", "layer4"],
    ),
    "unfreezing no stage, by a plugin": (
        callback("test_wrong_configs.LaterUnfreezing", "schedule: {layer9: 1}"),
        "trainer.callbacks[LaterUnfreezing].init_args.schedule",
        ["layer9", "layer4"],
    ),
    "a backbone that can't be stored": (
        "model: {backbone: {class_path: test_wrong_configs.Forgetful}}",
        "model.backbone",
        ["Forgetful must keep", "depth"],
    ),
    "a backbone without its dim": (
        "model: {backbone: {class_path: test_wrong_configs.Dimless}}",
        "model.backbone",
        ["Dimless must set dim"],
    ),
    # losses and miners
    "a margin out of reach": (
        loss("margin: 2.5"),
        "model.loss.init_args.margin",
        ["2.5 can't be reached"],
    ),
    "no margin": (loss("margin: 0.0"), "model.loss.init_args.margin", ["above 0"]),
    "a margin kept from the triplet loss": (
        loss("reducer: null", f"{LOSSES}.ArcFaceLoss", ", miner: null"),
        "model.loss.init_args.margin",
        ["0.3 degrees", "28.6"],
    ),
    "a typo in the kind of triplets": (
        f"model: {{miner: {{class_path: {MINERS}.TripletMarginMiner, "
        "init_args: {type_of_triplets: semi-hard}}}",
        "model.miner.init_args.type_of_triplets",
        ["'semi-hard' must be one of", "semihard"],
    ),
    "a contrastive margin out of reach": (
        loss("neg_margin: 2.5", f"{LOSSES}.ContrastiveLoss"),
        "model.loss.init_args.neg_margin",
        ["2.5 can't be reached", "0..2"],
    ),
    "margins of distance for cosine": (
        loss(f"distance: {COSINE}", f"{LOSSES}.ContrastiveLoss"),
        "model.loss.init_args.neg_margin",
        ["no pair to push apart", "-1..1"],
    ),
    "a margin with un-normalised embeddings": (
        loss(
            "distance: {class_path: pytorch_metric_learning.distances.LpDistance, "
            "init_args: {normalize_embeddings: false}}"
        ),
        "model.loss.init_args.distance.init_args.normalize_embeddings",
        ["unit length", "remove"],
    ),
    "a miner that a classifier can't take": (
        loss("", "vsearch.training.losses.classifier.ClassifierLoss"),
        "model.miner",
        ["can't take what BatchHardMiner picks"],
    ),
    "a miner that a ranking loss can't take": (
        loss("margin: 0.4, Tn: 10", f"{LOSSES}.RankedListLoss"),
        "model.miner",
        ["can't take what BatchHardMiner picks", "indices_tuple"],
    ),
    "a memory smaller than the batch": (
        loss(
            f"loss: {{class_path: {LOSSES}.ContrastiveLoss}}, memory_size: 4",
            f"{LOSSES}.CrossBatchMemory",
            ", miner: null",
        ),
        "model.loss.init_args.memory_size",
        ["4 is too small", "8 or more"],
    ),
    "prefixes longer than the embedding": (
        loss(
            f"loss: {LOSSES}.TripletMarginLoss, dims: [64, 1024]",
            "vsearch.training.losses.matryoshka.MatryoshkaLoss",
        ),
        "model.loss.init_args.dims",
        ["1024", "512"],
    ),
    # axes
    "an axis that the catalog lacks": (
        "model: {axis_losses: {tint: {}}}",
        "model.axis_losses",
        ["['tint'] can't be axes", "['shelf']"],
    ),
    "an axis's unknown loss": (
        f"model: {{axis_losses: {{shelf: {{loss: {{class_path: {LOSSES}.SupCon}}}}}}}}",
        "model.axis_losses.*.loss",
        ["did you mean SupConLoss?"],
    ),
    "an axis's loss without a class": (
        "model: {axis_losses: {shelf: {loss: {init_args: {temperature: 0.1}}}}}",
        "model.axis_losses.shelf.loss",
        ["class_path"],
    ),
    "a typo in an axis's loss": (
        f"model: {{axis_losses: {{shelf: {{loss: {{class_path: {LOSSES}.SupConLoss, "
        "init_args: {temperatur: 1}}}}}",
        "model.axis_losses.*.loss.init_args.temperatur",
        ["has no such setting"],
    ),
    "a typo in an axis": (
        "model: {axis_losses: {shelf: {weigth: 1}}}",
        "model.axis_losses.*.weigth",
        ["did you mean weight?"],
    ),
    "an axis without a weight": (
        "model: {axis_losses: {shelf: {weight: 0}}}",
        "model.axis_losses.shelf.weight",
        ["set it above 0"],
    ),
    "an axis's margin that can't be reached": (
        f"model: {{axis_losses: {{shelf: {{loss: {{class_path: {LOSSES}.TripletMarginLoss, "
        "init_args: {margin: 3}}}}}",
        "model.axis_losses.shelf.loss.init_args.margin",
        ["3 can't be reached"],
    ),
    # what is looked at
    "a monitor that nothing logs": (
        early_stopping("monitor: val_loss"),
        "trainer.callbacks[EarlyStopping].init_args.monitor",
        ["'val_loss'", "did you mean val/loss?"],
    ),
    "a checkpoint of the worst epoch": (
        callback(
            "lightning.pytorch.callbacks.ModelCheckpoint", "monitor: val/map_at_r, filename: best"
        ),
        "trainer.callbacks[ModelCheckpoint].init_args.mode",
        ["'min' keeps the worst val/map_at_r", "set it to max"],
    ),
    "a schedule that looks at nothing": (
        "model: {lr_scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau}",
        "model.lr_scheduler",
        ["lightning.pytorch.cli.ReduceLROnPlateau"],
    ),
    # files
    "no such config": (["--config", "gone.yaml"], "config", ["gone.yaml"]),
    "no such checkpoint": (["--ckpt_path", "gone.ckpt"], "ckpt_path", ["gone.ckpt"]),
    "YAML that isn't": ("model:\n  loss: [1,\n", "wrong.yaml, line 3", ["not valid YAML"]),
    "YAML without settings": ("- 1\n", "wrong.yaml", ["expected settings"]),
    "no such table": (
        catalog("vsearch.data.catalogs.table.TableCatalog", "table: gone.csv"),
        "data.catalog",
        ["gone.csv"],
    ),
    "no such column": (
        catalog("vsearch.data.catalogs.table.TableCatalog", "table: items.csv, label: kind"),
        "data.catalog",
        ["'kind'", "'label'"],
    ),
    "no such folder": (
        catalog("vsearch.data.catalogs.folder.FolderCatalog", "root: gone"),
        "data.catalog",
        ["gone"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A catalog of 4 labels as folder and table, and weights of a small network that isn't the
    recipe's.
    """
    folder = tmp_path_factory.mktemp("wrong")
    made = ColourCatalog(str(folder / "colours"))
    made.prepare()
    made.read().to_csv(folder / "items.csv", index=False)
    torch.save(
        torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "squeezenet.pth"
    )
    (folder / "garbage.pth").write_text("garbage")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return folder


def refusal(folder: Path, config: str | list[str], capsys) -> tuple[str, str]:
    """Run `fit`; return what it said of vsearch's own, and everything that it wrote."""
    words = ["--config", str(TRIPLET), "--config", "tiny.yaml"]
    if isinstance(config, str):
        (folder / "wrong.yaml").write_text(config)
        words += ["--config", "wrong.yaml"]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *words, *(config if isinstance(config, list) else [])])
    written = "".join(capsys.readouterr())
    assert ended.value.code == 2
    (line,) = [line for line in written.splitlines() if line.startswith("vsearch fit: ")]
    return line.removeprefix("vsearch fit: "), written


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_config_is_refused_in_one_line_before_training(wrong, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        MetricLearner, "training_step", lambda *_: pytest.fail("a training step was taken")
    )
    config, key, told = WRONG[wrong]
    line, written = refusal(folder, config, capsys)
    assert line.startswith(f"{key}: ")
    assert [words for words in told if words not in line] == []
    assert written.rstrip().endswith(line)
    assert "Traceback" not in written
    assert "usage:" not in written
    assert [*folder.rglob("config.yaml")] == []  # a failed start leaves no run behind


def test_without_a_mistake_the_same_recipe_trains(folder, monkeypatch):
    monkeypatch.chdir(folder)
    steps = []
    monkeypatch.setattr(MetricLearner, "training_step", lambda *_: steps.append(1))
    main(
        ["fit", "--config", str(TRIPLET), "--config", "tiny.yaml", "--trainer.fast_dev_run", "true"]
    )
    assert steps
