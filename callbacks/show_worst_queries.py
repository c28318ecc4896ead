from typing import cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.tensorboard import catalog_photo, show_picture, writers
from vsearch.evaluation.scoring import exact_index, top_hits
from vsearch.reports.grid import Shown, grid
from vsearch.training.module import MetricLearner


class ShowWorstQueries(Callback):
    """Show in TensorBoard, after each validation, the val photos that found the least of their
    label, with their hits.

    Args:
        n: queries, those of the lowest MAP@R; of equal ones the first.
        k: hits of each.
    """

    def __init__(self, n: int = 8, k: int = 6) -> None:
        self.n, self.k = n, k

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw them; the module has made its scores by now."""
        seen = cast(MetricLearner, pl_module).validated
        if seen is None or not writers(trainer.loggers):
            return
        worst = seen.scores.answered[
            np.argsort(seen.scores.model["map_at_r"], kind="stable")[: self.n]
        ]
        hits = top_hits(exact_index(seen.gallery), seen.queries.take(worst), seen.gallery, self.k)
        data, rows = trainer.datamodule, []  # type: ignore[attr-defined]
        for query, found in zip(worst, hits, strict=True):
            label = seen.queries.labels[query]
            row = [
                Shown(catalog_photo(data, seen.query_rows[query]), data.label_names[label], None)
            ]
            for hit in found[found >= 0]:
                own = seen.gallery.labels[hit]
                row.append(
                    Shown(
                        catalog_photo(data, seen.gallery_rows[hit]),
                        data.label_names[own],
                        own == label,
                    )
                )
            rows.append(row)
        show_picture(trainer.loggers, "val/worst queries", grid(rows), trainer.global_step)
