from collections.abc import Sequence
from dataclasses import dataclass

from vsearch.evaluation.comparing.comparison import Change, Comparison, ComparisonError
from vsearch.evaluation.metrics import MACRO, which_mean

ROUNDING = 1e-9  # 0.80 - 0.79 is not more than 0.01


@dataclass(frozen=True)
class Verdict:
    """Whether a run is worse than its base by more than allowed.

    Attributes:
        run: its name.
        metric: as given by the user: `map_at_r`, `map_at_r_macro`.
        allowed: how much the mean may fall.
        change: the measured change.
    """

    run: str
    metric: str
    allowed: float
    change: Change

    @property
    def passed(self) -> bool:
        """Whether the mean fell by at most the allowed amount; the interval isn't used."""
        return self.change.difference.value >= self._lowest

    @property
    def _lowest(self) -> float:
        return -self.allowed - ROUNDING

    @property
    def sure(self) -> str:
        """What the interval adds."""
        if self.change.difference.low >= self._lowest:
            return "excludes a larger fall"
        if self.change.difference.high < self._lowest:
            return "lies wholly beyond it"
        return "allows either"

    def __str__(self) -> str:
        difference = self.change.difference
        return (
            f"{'passed' if self.passed else 'FAILED'}: {self.run}: {self.metric} "
            f"{difference.value:+.4f}, may fall by {self.allowed:g}; its 95 % interval "
            f"[{difference.low:+.4f}, {difference.high:+.4f}] {self.sure}"
        )


def judge(comparisons: Sequence[Comparison], limits: Sequence[tuple[str, float]]) -> list[Verdict]:
    """Check every run against every limit: a metric's name, maybe with `_macro`, and largest fall.

    Raises:
        ComparisonError: a run lacks the metric; the message lists those that it has.
    """
    verdicts = []
    for comparison in comparisons:
        for name, allowed in limits:
            metric, mean = which_mean(name)
            if metric not in comparison.metrics:
                raise ComparisonError(
                    f"{comparison.run.name} and {comparison.base.name} have no metric {metric!r} "
                    f"in common; they have {', '.join(comparison.metrics)}, each also with {MACRO}."
                )
            change = comparison.metrics[metric][mean]
            verdicts.append(Verdict(comparison.run.name, name, allowed, change))
    return verdicts
