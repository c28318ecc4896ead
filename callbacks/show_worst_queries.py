import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.run_objects import catalog_data, metric_learner
from callbacks.tensorboard import catalog_photo, show_picture, writers
from vsearch.evaluation.scoring import exact_index, top_hits
from vsearch.reports.alone import fails_alone
from vsearch.reports.grid import Shown, grid


class ShowWorstQueries(Callback):
    """Show in TensorBoard, after each validation, the val queries with the lowest MAP@R.

    Args:
        n: queries.
        k: hits of each.
    """

    def __init__(self, n: int = 8, k: int = 6) -> None:
        self.n = n
        self.k = k

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw them; the module has made its scores by now."""
        with fails_alone("the picture of the worst queries"):
            self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seen = metric_learner(pl_module).validated
        if seen is None or not writers(trainer.loggers):
            return
        data = catalog_data(trainer)

        def shown(row: int, label: int, right: bool | None) -> Shown:
            return Shown(catalog_photo(data, row), data.label_names[label], right)

        ranking = np.argsort(seen.scores.model["map_at_r"], kind="stable")
        worst = seen.scores.answered[ranking[: self.n]]
        hits = top_hits(exact_index(seen.gallery), seen.queries.take(worst), seen.gallery, self.k)
        lines = []
        for query, found in zip(worst, hits, strict=True):
            label = seen.queries.labels[query]
            line = [shown(seen.query_rows[query], label, None)]
            for hit in found[found >= 0]:
                hit_label = seen.gallery.labels[hit]
                line.append(shown(seen.gallery_rows[hit], hit_label, hit_label == label))
            lines.append(line)
        show_picture(trainer.loggers, "val/worst queries", grid(lines), trainer.global_step)
