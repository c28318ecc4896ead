import difflib
import logging
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vsearch.errors import ConfigError
from vsearch.training.module import VAL_METRICS, MetricLearner

OURS = {"lightning", "vsearch", "callbacks"}
LOSSES = ("val/loss", "train/loss", "train/loss_step", "train/loss_epoch")
SCORES = [f"val/{name}{kind}" for name in VAL_METRICS for kind in ("", "_macro")]
RIGHT_MODE = {**dict.fromkeys(LOSSES, "min"), **dict.fromkeys(SCORES, "max")}
log = logging.getLogger(__name__)


def check_monitors(module: MetricLearner, trainer: Trainer, diagnosed: Iterable[str]) -> None:
    """Refuse to monitor a metric that nothing logs, or a `mode` that would keep the worst epoch.

    Callbacks from outside vsearch and Lightning may log anything: with one, an unknown metric is
    only a warning. `diagnosed` are the names from `module.diagnose`.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    monitoring = _schedules(module)
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint | EarlyStopping):
            monitoring.append((f"trainer.callbacks[{type(callback).__name__}].init_args", callback))
    packages = {type(callback).__module__.split(".")[0] for callback in callbacks}
    known = logged(diagnosed)
    for key, watcher in monitoring:
        if trainer.limit_val_batches == 0 and str(watcher.monitor).startswith("val/"):
            raise ConfigError(
                "trainer.limit_val_batches",
                f"0, but {key} monitors {watcher.monitor}: set it above 0",
            )
        if watcher.monitor in known:
            _check_mode(key, watcher.monitor, watcher.mode)
        elif watcher.monitor is not None and getattr(watcher, "strict", True):
            hint = _hint(watcher.monitor, known)
            if packages <= OURS:
                raise ConfigError(f"{key}.monitor", f"nothing logs {watcher.monitor!r}; {hint}")
            log.warning(
                "%s.monitor: vsearch doesn't log %r; does one of your callbacks? If not, %s",
                key,
                watcher.monitor,
                hint,
            )


def logged(diagnosed: Iterable[str]) -> list[str]:
    """Return the names of all metrics that a fit logs."""
    return [*RIGHT_MODE, *diagnosed]


def _check_mode(key: str, name: str, mode: str) -> None:
    right = RIGHT_MODE.get(name, mode)
    if mode != right:
        better = "higher" if right == "max" else "lower"
        raise ConfigError(
            f"{key}.mode",
            f"{mode!r} keeps the worst {name}, since {better} is better: set it to {right}",
        )


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"available: {', '.join(known)}"


def _schedules(module: MetricLearner) -> list[tuple[str, Any]]:
    """Return the schedules that make the learning rate depend on a metric, with their keys."""
    made: Any = module.configure_optimizers()
    found = [one["scheduler"] for one in made[1] if isinstance(one["scheduler"], ReduceLROnPlateau)]
    if any(not getattr(schedule, "monitor", None) for schedule in found):
        reason = "it has no metric to monitor: lightning.pytorch.cli.ReduceLROnPlateau has one"
        raise ConfigError("model.lr_scheduler", reason)
    return [("model.lr_scheduler.init_args", schedule) for schedule in found]
