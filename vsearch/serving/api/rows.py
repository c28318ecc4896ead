import math
from typing import Any

import numpy as np
import pandas as pd


class Rows:
    """A table's rows with values as JSON has them. No smaller table is made: that takes longer than
    a search.

    Args:
        table: whose rows they are; it must not change.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._columns = {str(name): table[name].array for name in table}

    def at(self, positions: np.ndarray) -> list[dict[str, Any]]:
        """Return the rows at int (n,) positions: None for what is missing or infinite, ISO 8601 for
        times.
        """
        wanted = positions.tolist()
        return [
            {name: _value(values[row]) for name, values in self._columns.items()} for row in wanted
        ]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value
    value = value.item() if isinstance(value, np.generic) else value
    if pd.api.types.is_scalar(value) and (pd.isna(value) or value in (math.inf, -math.inf)):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value
