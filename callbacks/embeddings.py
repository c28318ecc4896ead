from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.run_objects import catalog_data, metric_learner
from vsearch.data.embedding_parts import schema, table
from vsearch.training.distributed.ranks import gather_at_rank_zero


class WriteEmbeddings(Callback):
    """Write the results of `predict` to the run's embeddings.parquet: id, label, embedding.

    It writes batch by batch, to limit memory, into a temporary file that is renamed at the end.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the temporary file."""
        self.path = Path(trainer.log_dir or trainer.default_root_dir) / "embeddings.parquet"
        if not trainer.is_global_zero:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = schema(metric_learner(pl_module).embedder.dim)
        self.writer = pq.ParquetWriter(self.path.with_suffix(".tmp"), columns)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Append one batch, of all ranks."""
        made = gather_at_rank_zero(trainer, [tuple(part.cpu().numpy() for part in outputs)])
        if not trainer.is_global_zero:
            return
        rows, embeddings = made
        items = catalog_data(trainer).items.iloc[rows]
        self.writer.write_table(table(items, embeddings))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the file and rename it."""
        if not trainer.is_global_zero:
            return
        self.writer.close()
        self.path.with_suffix(".tmp").rename(self.path)
        print(f"Embeddings: {self.path}")
