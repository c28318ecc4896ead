import json
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.bundle.exports.manifest import LINEAGE, PRECISION, SCHEMA, Export, folder_of, read
from vsearch.bundle.exports.photos import held
from vsearch.bundle.exports.proof import Bounds, embedded, prove, prove_text
from vsearch.bundle.generations.files import measured
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.generations.manifest import explained, model_of
from vsearch.bundle.network import checked_embedder, checked_words
from vsearch.data.io.atomic import make_folder
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import METADATA, Name
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.text.encoder import OnnxText

if TYPE_CHECKING:
    from vsearch.models.embedder import Embedder

PACKAGES = {"onnx": ("torch", "onnx", "onnxruntime"), "openvino": ("torch", "onnx", "openvino")}


@dataclass(frozen=True)
class Wanted:
    """What to export, and the required agreement.

    Attributes:
        photos: for the proof; empty: the run's test photos, or the catalog's.
        out: the folder to make; None: in the bundle, where the service looks.
    """

    name: Name
    bounds: Bounds = field(default_factory=Bounds)
    photos: Sequence[Path] = ()
    out: Path | None = None


def export(bundle: Path, wanted: Wanted) -> Export:
    """Write a bundle's network in another format; delete it if its embeddings differ too much.

    The export lies in the bundle's folder, but the manifest doesn't list it: it depends only on the
    weights, which no generation changes, and can be made and deleted at any time.

    Raises:
        BundleError: the bundle or the export can't be used, or the export already exists.
        Failed: it misses a bound.
        PhotoError: a given photo can't be used.
    """
    folder = wanted.out or folder_of(bundle, wanted.name)
    if folder.exists():
        raise BundleError(f"{folder} exists already. Delete it to export again.")

    live = open_live(bundle)
    embedder = checked_embedder(bundle, live.fitted)
    with explained(folder, f"the export to {wanted.name}"):
        make_folder(folder, lambda made: _fill(made, live, embedder, wanted))
    return read(folder, wanted.name, live.fitted)


def _fill(made: Path, live: Live, embedder: "Embedder", wanted: Wanted) -> None:
    # PyTorch is imported only here, so that other uses of this file don't load it
    from vsearch.models.runtimes.onnx_export import text_to_onnx, to_onnx, to_openvino
    from vsearch.models.runtimes.torch import TorchRuntime

    photos = held(live, embedder.preprocessing, wanted.photos)
    metadata = {
        "fingerprint": live.fitted["fingerprint"],
        METADATA: embedder.preprocessing.to_json(),
    }
    if wanted.name == "onnx":
        to_onnx(embedder, made, metadata)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            file = to_onnx(embedder, Path(temporary), metadata)
            to_openvino(file, made, metadata)

    kind = OnnxRuntime if wanted.name == "onnx" else OpenvinoRuntime
    before = embedded(TorchRuntime(embedder), photos)
    after = embedded(kind(made), photos)
    labels = live.items["label"].to_numpy()
    proof = prove(before, after, photos, live.index, labels, wanted.bounds)
    if "text" in live.fitted:
        words = checked_words(live.bundle, live.fitted)
        text_to_onnx(words, made)
        exported = OnnxText(made, words.tokenizer)
        proof["text"] = prove_text(words, exported, sorted(set(labels)), wanted.bounds)
    written = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": wanted.name,
        "precision": PRECISION,
        "model": model_of(live.fitted),
        "proof": {**proof, "machine": platform.machine()},
        "libraries": {name: version(name) for name in PACKAGES[wanted.name]},
        **measured(made),
    }
    (made / LINEAGE).write_text(json.dumps(written, indent=2))
