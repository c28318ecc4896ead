import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.utilities.seed import isolate_rng
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn

from vsearch.class_paths import describe
from vsearch.errors import ConfigError
from vsearch.models.backbones.base import Backbone
from vsearch.models.heads.base import Head
from vsearch.training.checks.dry_run import dry_run
from vsearch.training.checks.margins import check_margins
from vsearch.training.checks.monitors import check_monitors
from vsearch.training.checks.part_errors import inner_parts, refusal
from vsearch.training.checks.training import check_training
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner


def check(module: MetricLearner, data: CatalogDataModule, trainer: Trainer) -> None:
    """Refuse, before training, parts that can't work together.

    To be called when all parts are made and nothing else is: the catalog may still be unread, which
    takes minutes for a large one, and the run has no folder yet. Two random photos go through the
    network, and a random PK batch of unit vectors through copies of miner and loss, which must make
    a finite number with a gradient of it. Weights, memories and random generators stay as they are.

    Raises:
        ConfigError: what can't work, by its key.
    """
    connector = trainer._accelerator_connector
    if connector.is_distributed and connector.use_distributed_sampler:
        reason = "true, but batches are shared among the devices already: set it to false"
        raise ConfigError("trainer.use_distributed_sampler", reason)
    if (
        connector.is_distributed
        and connector._layer_sync
        and isinstance(trainer.accelerator, CPUAccelerator)
    ):
        raise ConfigError(
            "trainer.sync_batchnorm", "true, which needs GPUs: set it to false on CPUs"
        )
    check_stored(module.backbone, module.embedder.head)
    if not any(value.requires_grad for value in module.parameters()):
        key = (
            "model.backbone.init_args.freeze"
            if hasattr(module.backbone, "freeze")
            else "model.backbone"
        )
        raise ConfigError(key, "nothing is left to train: freeze fewer stages, or add a head")
    check_training(module, trainer)
    check_margins(module.loss)
    for key, part in inner_parts(module.loss, "model.loss"):
        if isinstance(part, CrossBatchMemory) and part.memory_size < (
            size := data.p * data.k * trainer.world_size
        ):
            whole = "P x K" if trainer.world_size == 1 else f"{trainer.world_size} devices x P x K"
            reason = f"{part.memory_size} is too small for a batch of {whole} = {size} photos: set it to {size} or more"
            raise ConfigError(f"{key}.init_args.memory_size", reason)
    with isolate_rng(include_cuda=False):
        torch.default_generator.manual_seed(0)  # the CPU's alone, which is put back
        _check_embeddings(module)
        batch = _batch(data, module.embedder.dim)
        tried = dry_run(module.loss, _miners(module, trainer), *batch)
    if data.k == 1 and data.sampler.by_label and any(not gradient.any() for _, gradient in tried):
        name = type(module.loss).__name__
        reason = (
            f"K = 1 leaves {name} without a second photo of any label, and so with nothing to learn"
        )
        raise ConfigError("data.photos_per_class", f"{reason}: set it to 2 or more")
    diagnosed = {
        name
        for mined in (None, *(mined for mined, _ in tried))
        for name in module.diagnose(*batch, mined)
    }
    check_monitors(module, trainer, sorted(diagnosed))


def check_stored(backbone: Backbone, head: Head | None) -> None:
    """Refuse a backbone or head that lacks attributes of its base class, or that a bundle couldn't
    describe.
    """
    for key, part, base in (("model.backbone", backbone, Backbone), ("model.head", head, Head)):
        if part is None:
            continue
        if missing := [name for name in base.__annotations__ if not hasattr(part, name)]:
            raise ConfigError(
                key, f"{type(part).__name__} must set {', '.join(missing)}: see {base.__name__}"
            )
        try:
            part.spec() if isinstance(part, Backbone) else describe(part)
        except Exception as error:
            raise refusal(key, type(part), error) from error


def _check_embeddings(module: MetricLearner) -> None:
    """Embed two random photos: two vectors of the length that was said. Leaves what is trained in
    training mode.
    """
    embedder, size = module.embedder, module.embedder.preprocessing.size
    module.eval()
    try:
        with torch.no_grad():
            embeddings = module(torch.randn(2, 3, size, size, device=module.device))
    except Exception as error:
        raise refusal("model.backbone", type(module.backbone), error) from error
    module.train()
    if embeddings.shape != (2, embedder.dim):
        part = "model.backbone" if embedder.head is None else "model.head"
        raise ConfigError(
            part,
            f"two photos gave values of shape {tuple(embeddings.shape)}, not (2, {embedder.dim})",
        )


def _miners(module: MetricLearner, trainer: Trainer) -> dict[str, nn.Module | None]:
    """Return the model's miner, and those that callbacks lend it, by their keys."""
    found: dict[str, nn.Module | None] = {"model.miner": module.miner}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(lent := getattr(callback, "miner", None), nn.Module):
            found[f"trainer.callbacks[{type(callback).__name__}].init_args.miner"] = lent
    return found


def _batch(data: CatalogDataModule, dim: int) -> tuple[Tensor, Tensor]:
    """Return random unit vectors (P * K, dim) and label codes (P * K,), of a catalog that is read
    the last ones.
    """
    count = data.n_labels if hasattr(data, "items") else data.p
    labels = ((count - 1 - torch.arange(data.p)) % count).repeat_interleave(data.k)
    return nn.functional.normalize(torch.randn(len(labels), dim), dim=1), labels
