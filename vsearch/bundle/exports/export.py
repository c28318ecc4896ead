import json
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle.exports.graph import to_onnx, to_openvino
from vsearch.bundle.exports.int8 import quantise
from vsearch.bundle.exports.manifest import LINEAGE, SCHEMA, Export, folder_of, read
from vsearch.bundle.exports.photos import held, readable
from vsearch.bundle.exports.proof import Bounds, embedded, prove
from vsearch.bundle.generations.checked_files import measured
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.generations.manifest import explained, model_of
from vsearch.bundle.opening import embedder_of
from vsearch.data.io.atomic import MAKING, make_folder
from vsearch.errors import BundleError
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.base import Name, Precision, Runtime
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.runtimes.torch import TorchRuntime

CALIBRATION = 300  # photos
PACKAGES = {"onnx": ("torch", "onnx", "onnxruntime"), "openvino": ("torch", "onnx", "openvino")}


@dataclass(frozen=True)
class Wanted:
    """What to export.

    Attributes:
        name: the format, onnx or openvino.
        precision: float32, or int8 (onnx alone).
        bounds: what it must reach.
        photos: to prove it with; none: the run's test photos, or the catalog's.
        out: the folder to make; None: in the bundle, where the service looks.
    """

    name: Name
    precision: Precision
    bounds: Bounds
    photos: Sequence[Path] = ()
    out: Path | None = None


def export(bundle: Path, wanted: Wanted) -> Export:
    """Write a bundle's network in another format, with what is wanted shown to hold; else nothing
    is left.

    The export lies in the bundle's folder but in no manifest: it belongs to the weights, which no
    generation changes, and can be made and deleted at any time. `export.json` beside it binds it to
    them.

    Raises:
        BundleError: the bundle or the export can't be used, there is one already, or it misses a
            bound.
        PhotoError: a given photo can't be used.
        OSError: it could not be written.
    """
    if (wanted.name, wanted.precision) == ("openvino", "int8"):
        raise BundleError(
            "int8 is for ONNX Runtime: --format onnx --int8. OpenVINO computes in bfloat16 instead."
        )
    folder = wanted.out or folder_of(bundle, wanted.name, wanted.precision)
    if folder.exists():
        raise BundleError(f"{folder} exists already. Delete it to export anew.")
    live = open_live(bundle)
    embedder = embedder_of(live)
    shutil.rmtree(
        folder.with_name(MAKING + folder.name), ignore_errors=True
    )  # of one that was killed
    with explained(folder, f"the export to {wanted.name}"):
        make_folder(folder, lambda made: _fill(made, live, embedder, wanted))
    return read(folder, wanted.name, wanted.precision, live.fitted)


def _fill(made: Path, live: Live, embedder: Embedder, wanted: Wanted) -> None:
    preprocessing = embedder.preprocessing
    photos = held(live, preprocessing, wanted.photos)
    metadata = {"fingerprint": live.fitted["fingerprint"], "preprocessing": asdict(preprocessing)}
    with tempfile.TemporaryDirectory() as temporary:
        file = to_onnx(
            embedder, made if wanted.name == "onnx" else Path(temporary), metadata, wanted.name
        )
        if wanted.precision == "int8":
            quantise(file, _calibration(live, embedder))
        if wanted.name == "openvino":
            to_openvino(file, made, metadata)
    before, after = (
        embedded(TorchRuntime(embedder), photos),
        embedded(_opened(made, wanted), photos),
    )
    proof = prove(before, after, photos, live.index, live.items["label"].to_numpy(), wanted.bounds)
    written = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": wanted.name,
        "precision": wanted.precision,
        "model": model_of(live.fitted),
        "proof": {**proof, "machine": platform.machine()},
        "libraries": {name: version(name) for name in PACKAGES[wanted.name]},
        **measured(made),
    }
    (made / LINEAGE).write_text(json.dumps(written, indent=2))


def _opened(folder: Path, wanted: Wanted) -> Runtime:
    kind = OnnxRuntime if wanted.name == "onnx" else OpenvinoRuntime
    return kind(folder, wanted.precision)


def _calibration(live: Live, embedder: Embedder) -> np.ndarray:
    """Return photos of the catalog, drawn evenly."""
    n = len(live.items)
    rows = np.unique(np.linspace(0, n - 1, min(n, CALIBRATION)).astype(np.int64))
    squares, _ = readable(live.items.take(pa.array(rows)), embedder.preprocessing)
    if not squares:
        raise BundleError(
            f"{live.bundle}: none of the items' photos is there: int8 has to see some."
        )
    return np.stack(squares)
