import difflib
import logging
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vsearch.checks.config_errors import ConfigError
from vsearch.module import VAL_SCORES, MetricLearner

OURS = {"lightning", "vsearch", "callbacks"}
log = logging.getLogger(__name__)


def check_monitors(module: MetricLearner, trainer: Trainer, diagnosed: Iterable[str]) -> None:
    """Refuse a metric to look at that nothing logs, which Lightning tells only after the first epoch.

    Makes optimizer and schedule once, which shows whether they can be made. A callback that doesn't come with vsearch
    or Lightning may log what it likes: with one, an unknown metric is a warning. `diagnosed` are the names that
    `module.diagnose` gives.

    Raises:
        ConfigError: such a metric, or what optimizer and schedule refuse.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    found = _of_schedules(module)
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint) or (isinstance(callback, EarlyStopping) and callback.strict):
            found.append((f"trainer.callbacks[{type(callback).__name__}].init_args.monitor", callback.monitor))
    own = {type(callback).__module__.split(".")[0] for callback in callbacks} <= OURS
    known = logged(diagnosed)
    for key, name in found:
        if name is not None and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}"
            if own:
                raise ConfigError(key, f"nothing logs {name!r}; {hint}")
            log.warning("%s: vsearch doesn't log %r, does a callback of yours? If not, %s", key, name, hint)


def logged(diagnosed: Iterable[str]) -> list[str]:
    """Return the names of all metrics that a fit logs."""
    scores = [f"val/{name}{kind}" for name in VAL_SCORES for kind in ("", "_macro")]
    return ["val/loss", *scores, "train/loss", "train/loss_step", "train/loss_epoch", *diagnosed]


def _of_schedules(module: MetricLearner) -> list[tuple[str, str | None]]:
    """Return the metrics that the learning rate depends on, with their keys."""
    made: Any = module.configure_optimizers()
    for schedule in made[1]:
        if isinstance(schedule["scheduler"], ReduceLROnPlateau) and not schedule.get("monitor"):
            reason = "it has no metric to look at: lightning.pytorch.cli.ReduceLROnPlateau has one"
            raise ConfigError("model.lr_scheduler", reason)
    return [("model.lr_scheduler.init_args.monitor", schedule.get("monitor")) for schedule in made[1]]
