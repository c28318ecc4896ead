import numpy as np
import pandas as pd


def stratified(labels: np.ndarray, n: int, at_least: int, seed: int) -> np.ndarray:
    """Return up to `n` positions: `at_least` of each label first, then by each label's share.

    Each prefix of the result is stratified, too.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    groups = pd.Series(labels[order]).groupby(labels[order])
    turn = groups.cumcount().to_numpy()
    size = groups.transform("size").to_numpy()
    rank = np.lexsort(((turn + 0.5) / size, turn >= at_least))
    return order[rank][:n]
