from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tiny import TinyBackbone

from vsearch.bundle.bulk.plan import Network, start
from vsearch.bundle.bulk.writer import Writer
from vsearch.bundle.generations.manifest import model_of, read_fitted
from vsearch.bundle.new_items import embed_for_index
from vsearch.bundle.writing import write_bundle
from vsearch.data.embedding_parts import Parts
from vsearch.data.regions import Regions
from vsearch.data.views import View
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.regions import for_shape
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime


def photo(folder: Path, number: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (20, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder / f"{number}.png"


def table(folder: Path, numbers: range, **columns: list) -> pd.DataFrame:
    paths = [str(photo(folder, number)) for number in numbers]
    items = pd.DataFrame(
        {"id": [f"p{n}" for n in numbers], "path": paths, "label": [f"l{n % 3}" for n in numbers]}
    )
    return items.assign(price=[float(n) for n in numbers], **columns)


def fitted(
    folder: Path,
    n: int = 30,
    factory: str = "Flat",
    stored: bool = True,
    seed: int = 0,
    views: tuple[View, ...] = (),
    index_views: Regions | None = None,
    **extra: bytes,
) -> Path:
    torch.manual_seed(seed)
    embedder, items = Embedder(TinyBackbone()).eval(), table(folder.parent / "photos", range(n))
    embedder.backbone.preprocessing = replace(
        embedder.preprocessing, views=views, index_views=index_views
    )
    vectors = embed_for_index(TorchRuntime(embedder), items).embeddings
    index = for_shape(FaissIndex(factory), vectors.shape[1:])
    index.build(vectors)
    kept = vectors if stored else None
    files = {f"{name}.parquet": data for name, data in extra.items()}
    write_bundle(folder, embedder, index, items, {}, files, kept)
    return folder


def unit_vectors(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedded(
    folder: Path, made: Path, vectors: np.ndarray, part_size: int, broken: tuple[int, ...] = ()
) -> Parts:
    """A folder as `embed` writes it, of items e0, e1 ... with these vectors."""
    ids = [f"e{n}" for n in range(len(vectors))]
    items = pd.DataFrame(
        {"id": ids, "path": ids, "label": [f"l{n % 3}" for n in range(len(vectors))]}
    )
    model = model_of(read_fitted(made))
    parts = start(folder, model, items, "items.csv", part_size, Network("torch", "float32"))
    errors = ["bad" if n in broken else "" for n in range(len(vectors))]
    Writer(parts, items, lambda n: None).add(
        np.arange(len(vectors)), vectors, ["0"] * len(vectors), errors
    )
    return parts
