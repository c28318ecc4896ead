import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vsearch.bundle.bulk.network import open_runtime
from vsearch.bundle.bulk.photos import decode, embed
from vsearch.bundle.bulk.plan import Network
from vsearch.bundle.bulk.writer import Writer
from vsearch.data.items import BOX, boxes
from vsearch.errors import BundleError
from vsearch.optional_packages import require

OBJECT_STORE_BYTES = 512 << 20  # if Ray is started here; on a cluster Ray decides


def run(
    bundle: Path,
    network: Network,
    items: pd.DataFrame,
    writer: Writer,
    batch_size: int,
    actors: int | None,
) -> None:
    """Embed photos with Ray Data: actors decode and compute, this process writes the parts.

    It uses the cluster that RAY_ADDRESS names, or starts Ray on this machine. Bundle, photos and
    packages must have the same path on every node; the folder is needed only here.

    Args:
        items: the rows still to be embedded; their index has the catalog's rows.
        batch_size: photos computed at a time.
        actors: how many networks; None: one per GPU, or one per core.

    Raises:
        MissingPackage: Ray isn't installed.
        BundleError: Ray stopped with an error.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray", "ray")
    data = require("ray.data", "ray")
    own = {} if os.environ.get("RAY_ADDRESS") else {"object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray raises many types
        raise BundleError(f"Ray can't be started or reached: {error}") from error
    try:
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        gpus = int(ray.cluster_resources().get("GPU", 0)) if network.runtime == "torch" else 0
        pool = data.ActorPoolStrategy(size=actors or gpus or int(ray.cluster_resources()["CPU"]))
        made = data.from_arrow(_blocks(items, writer.parts.manifest["part_size"])).map_batches(
            _Embedding,
            fn_constructor_args=(str(bundle.absolute()), network),
            batch_size=batch_size,
            compute=pool,
            num_gpus=1 if gpus else None,
        )
        for batch in made.iter_batches(batch_size=None):
            writer.add(batch["row"], batch["vector"], batch["hash"], batch["error"])
    except ray.exceptions.RayError as error:
        raise BundleError(f"Ray stopped: {error}") from error
    finally:
        ray.shutdown()


class _Embedding:
    """A network in a separate process, with one thread unless Ray gives it more cores."""

    def __init__(self, bundle: str, network: Network) -> None:
        self.runtime = open_runtime(Path(bundle), network)
        self.runtime.use_gpu()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        corners = boxes(pd.DataFrame({name: batch[name] for name in BOX}))
        sources = [*zip(batch["path"].tolist(), corners, strict=True)]
        photos = decode(batch["row"].tolist(), sources, self.runtime.preprocessing, 1)
        vectors = embed(self.runtime, photos)
        return {
            "row": photos.rows,
            "vector": vectors,
            "hash": photos.hashes,
            "error": photos.errors,
        }


def _blocks(items: pd.DataFrame, size: int) -> list[pa.Table]:
    corners = {
        name: items[name].astype(float) if name in items else np.full(len(items), np.nan)
        for name in BOX
    }
    whole = pa.table({"row": items.index.to_numpy(), "path": items["path"].tolist(), **corners})
    return [whole.slice(start, size) for start in range(0, len(whole), size)]
