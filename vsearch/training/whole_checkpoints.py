from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from vsearch.data.io.atomic import rewrite_file
from vsearch.data.io.object_stores import is_url


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its final path and renames it: readers see the old or the new one.

    Lightning writes it into the system's temporary folder. If that is another disk, Lightning
    copies the file, and a kill or a full disk leaves a partial file under the final name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; if it is in an object store, as Lightning does.

        Raises:
            OSError: it could not be written. The old one stays.
        """
        if is_url(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rewrite_file(path, lambda file: torch.save(checkpoint, file))
