from abc import ABC, abstractmethod

import numpy as np
import pandas as pd


class BatchPlan(ABC):
    """Which training photos form a batch.

    A subclass implements `epoch`, and `check` if it needs certain columns.

    Attributes:
        by_label: whether a batch consists of P labels; if not, P * K is only its size, and P may be
            any number.
    """

    by_label: bool = True

    def check(self, items: pd.DataFrame) -> None:  # noqa: B027 (optional hook)
        """Raise a ValueError that names the setting, before training, if `items` can't be used."""

    @abstractmethod
    def epoch(
        self, labels: np.ndarray, items: pd.DataFrame, p: int, k: int, rng: np.random.Generator
    ) -> list[list[int]]:
        """Return the batches of one epoch as lists of positions, 0 to n - 1.

        An epoch has as many photos as the training set: `n // (p * k)` batches of up to `p * k`
        photos. A batch has a photo at most once: twice, it would be its own positive. All draws use
        `rng`, so a resumed run continues exactly.

        Args:
            labels: int (n,), the label of each position.
            items: n rows in the order of `labels`, under any index: the catalog's columns.
            p: classes in a batch, at least 2; if the plan is `by_label`, at most the number of
                classes.
            k: photos of each class, at least 1.
            rng: decides every draw.
        """
