from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.seed import isolate_rng
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn

from vsearch.class_paths import describe
from vsearch.data.views import check_views
from vsearch.errors import ConfigError, VsearchError
from vsearch.models.backbones.base import Backbone
from vsearch.models.heads.base import Head
from vsearch.training.checks.component_errors import inner_components, refusal
from vsearch.training.checks.dry_run import Trial, dry_run
from vsearch.training.checks.margins import check_margins
from vsearch.training.checks.monitors import check_monitors
from vsearch.training.checks.training import check_training
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.losses.axes import key_of
from vsearch.training.module import MetricLearner


def check(module: MetricLearner, data: CatalogDataModule, trainer: Trainer) -> None:
    """Raise a ConfigError for components that can't work together; the catalog may be unread.

    Two random photos go through the network, and a random PK batch of unit vectors through copies
    of miner and loss. Weights, memories and random generators stay unchanged.
    """
    check_stored(module.backbone, module.embedder.head)
    _check_trained(module)
    check_training(module, trainer)
    check_margins(module.loss)
    _check_memory(module.loss, data, trainer.world_size)
    _check_views(module, data)

    with isolate_rng(include_cuda=False):
        torch.default_generator.manual_seed(0)  # only the CPU's, which is restored
        _check_embeddings(module)
        embeddings, labels = _random_batch(data, module.embedder.dim)
        trials = dry_run(module.loss, _miners(module, trainer), embeddings, labels)
        _check_axes(module, data, trainer.world_size, embeddings, labels)
    _check_gradients(module, data, trials)

    diagnosed = set(module.diagnose(embeddings, labels, None))
    diagnosed.update(f"train/loss_{axis}" for axis in module.axis_losses.weights)
    for trial in trials:
        diagnosed.update(module.diagnose(embeddings, labels, trial.mined))
    check_monitors(module, trainer, sorted(diagnosed))


def check_devices(trainer: Trainer, use_distributed_sampler: bool, sync_batchnorm: bool) -> None:
    """Refuse trainer settings that don't fit its devices."""
    if not isinstance(trainer.strategy, ParallelStrategy):
        return
    if use_distributed_sampler:
        reason = "true, but the devices already share each batch: set it to false"
        raise ConfigError("trainer.use_distributed_sampler", reason)
    if sync_batchnorm and isinstance(trainer.accelerator, CPUAccelerator):
        reason = "true, but that needs GPUs: set it to false on CPUs"
        raise ConfigError("trainer.sync_batchnorm", reason)


def check_stored(backbone: Backbone, head: Head | None) -> None:
    """Refuse a backbone or head that lacks attributes of its base class or can't be described."""
    for key, network, base in (
        ("model.backbone", backbone, Backbone),
        ("model.head", head, Head),
    ):
        if network is None:
            continue
        if missing := [name for name in base.__annotations__ if not hasattr(network, name)]:
            reason = f"{type(network).__name__} must set {', '.join(missing)}: see {base.__name__}"
            raise ConfigError(key, reason)
        try:
            network.spec() if isinstance(network, Backbone) else describe(network)
        except Exception as error:
            raise refusal(key, type(network), error) from error


def _check_trained(module: MetricLearner) -> None:
    if not any(value.requires_grad for value in module.parameters()):
        key = "model.backbone"
        if hasattr(module.backbone, "freeze"):
            key = "model.backbone.init_args.freeze"
        raise ConfigError(key, "nothing is left to train: freeze fewer stages, or add a head")


def _check_memory(loss: nn.Module, data: CatalogDataModule, world_size: int) -> None:
    """Refuse a CrossBatchMemory that is too small for a batch of all devices."""
    n_photos = data.classes_per_batch * data.photos_per_class * world_size
    batch = "P x K" if world_size == 1 else f"{world_size} devices x P x K"
    for key, inner in inner_components(loss, "model.loss"):
        if isinstance(inner, CrossBatchMemory) and inner.memory_size < n_photos:
            raise ConfigError(
                f"{key}.init_args.memory_size",
                f"{inner.memory_size} is too small for a batch of {batch} = {n_photos} photos: set "
                f"it to {n_photos} or more",
            )


def _check_views(module: MetricLearner, data: CatalogDataModule) -> None:
    try:
        check_views(data.eval_views, module.embedder.preprocessing.size)
    except VsearchError as error:
        raise ConfigError("data.eval_views", str(error)) from error


def _check_axes(
    module: MetricLearner,
    data: CatalogDataModule,
    world_size: int,
    embeddings: Tensor,
    labels: Tensor,
) -> None:
    """Check the losses of axes as the label's loss is checked."""
    for axis, loss in module.axis_losses.by_axis().items():
        with _said_of(key_of(axis)):
            check_margins(loss)
            _check_memory(loss, data, world_size)
            codes = labels % module.axis_losses.n_values(axis)
            dry_run(loss, {"": None}, embeddings, codes)


@contextmanager
def _said_of(key: str) -> Iterator[None]:
    """Make errors about the label's loss name another loss."""
    try:
        yield
    except ConfigError as error:
        place, _, reason = str(error).partition(": ")
        raise ConfigError(place.replace("model.loss", key, 1), reason) from error


def _check_gradients(
    module: MetricLearner, data: CatalogDataModule, trials: Sequence[Trial]
) -> None:
    """Refuse K = 1 if the loss then learns nothing."""
    if data.photos_per_class > 1 or not data.sampler.by_label:
        return
    if any(not trial.gradient.any() for trial in trials):
        raise ConfigError(
            "data.photos_per_class",
            f"with K = 1, {type(module.loss).__name__} never sees two photos of a label and learns "
            "nothing: set it to 2 or more",
        )


def _check_embeddings(module: MetricLearner) -> None:
    embedder = module.embedder
    size = embedder.preprocessing.size
    module.eval()
    try:
        with torch.no_grad():
            embeddings = module(torch.randn(2, 3, size, size, device=module.device))
    except Exception as error:
        raise refusal("model.backbone", type(module.backbone), error) from error
    module.train()
    if embeddings.shape != (2, embedder.dim):
        key = "model.backbone" if embedder.head is None else "model.head"
        raise ConfigError(
            key,
            f"two photos gave shape {tuple(embeddings.shape)}, not (2, {embedder.dim})",
        )


def _miners(module: MetricLearner, trainer: Trainer) -> dict[str, nn.Module | None]:
    """Return the miners of the model and of callbacks by their keys."""
    found: dict[str, nn.Module | None] = {"model.miner": module.miner}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(lent := getattr(callback, "miner", None), nn.Module):
            found[f"trainer.callbacks[{type(callback).__name__}].init_args.miner"] = lent
    return found


def _random_batch(data: CatalogDataModule, dim: int) -> tuple[Tensor, Tensor]:
    """Return random unit vectors (P * K, dim) and the catalog's last label codes (P * K,)."""
    p = data.classes_per_batch
    count = data.n_labels if hasattr(data, "items") else p
    codes = (count - 1 - torch.arange(p)) % count
    labels = codes.repeat_interleave(data.photos_per_class)
    return nn.functional.normalize(torch.randn(len(labels), dim), dim=1), labels
