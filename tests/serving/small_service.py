import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image
from tiny import TinyBackbone

from vsearch.bundle.new_items import embed_for_index
from vsearch.bundle.writing import write_bundle
from vsearch.data.regions import Regions
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.regions import for_shape
from vsearch.models.backbones.base import Backbone
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.serving.api.app import create_app
from vsearch.serving.api.settings import Settings


def picture(number: int, width: int = 14, height: int = 20) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)


def encoded(photo: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    photo.save(file, kind)
    return file.getvalue()


def served_bundle(
    folder: Path,
    n: int = 30,
    seed: int = 0,
    boxes: list | None = None,
    backbone: Backbone | None = None,
    columns: dict[str, list] | None = None,
    products: dict[str, str] | None = None,
    index_views: Regions | None = None,
    **extra: bytes,
) -> Path:
    """A bundle of n pictures: ids p0 .., each tenth with a slash; labels, price, colour (may miss)
    or `columns`.
    """
    torch.manual_seed(seed)
    photos = folder.parent / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for number in range(n):
        picture(number).save(photos / f"{number}.png")
    items = pd.DataFrame(
        {
            "id": [f"p/{i}" if i % 10 == 9 else f"p{i}" for i in range(n)],
            "path": [str(photos / f"{i}.png") for i in range(n)],
            "label": [f"l{i % 3}" for i in range(n)],
            "price": [float(i) for i in range(n)],
            "colour": [None if i % 7 == 6 else ("red", "blue")[i % 2] for i in range(n)],
        }
    )
    items = items if columns is None else pd.DataFrame({"path": items["path"], **columns})
    if boxes is not None:
        items[["x_1", "y_1", "x_2", "y_2"]] = pd.DataFrame(boxes, dtype=float)
    embedder = Embedder(backbone or TinyBackbone()).eval()
    own = replace(embedder.preprocessing, index_views=index_views)
    embedder.backbone.preprocessing = own
    vectors = embed_for_index(TorchRuntime(embedder), items).embeddings
    index = for_shape(FaissIndex("Flat"), vectors.shape[1:])
    index.build(vectors)
    manifest = {} if products is None else {"products": products}
    files = {f"{name}.json": data for name, data in extra.items()}
    write_bundle(folder, embedder, index, items, manifest, files)
    return folder


def upload(client: TestClient, data: bytes, path: str = "/v1/search/upload", **form: object):
    return client.post(path, files={"photo": ("a.jpg", data)}, data=form)


@contextmanager
def listening(folder: Path) -> Iterator[str]:
    """The service of a bundle at a port of its own, in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(folder, Settings()), log_level="error"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
