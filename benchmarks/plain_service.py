"""A photo search as in tutorials: FastAPI, torchvision, FAISS, all in the handler; the benchmark's
reference.
"""

import io
import os
import sys
from pathlib import Path

import faiss
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

from vsearch.bundle.opening import open_bundle
from vsearch.models.runtimes.torch import TorchRuntime

app = FastAPI()
bundle = open_bundle(Path(os.environ["BUNDLE"]), "torch")
assert isinstance(bundle.runtime, TorchRuntime)
model = bundle.runtime.network
items = bundle.items
index = faiss.IndexFlatL2(bundle.runtime.dim)
index.add(bundle.index.vectors(np.arange(len(items))))
size, mean, std = (getattr(model.preprocessing, name) for name in ("size", "mean", "std"))
prepare = transforms.Compose(
    [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(mean, std)],
)


@app.post("/v1/search/upload")
async def search(photo: UploadFile) -> dict:
    """Search with a photo."""
    image = Image.open(io.BytesIO(await photo.read())).convert("RGB")
    with torch.no_grad():
        embedding = model(prepare(image).unsqueeze(0)).numpy()
    distances, rows = index.search(embedding, 10)
    return {
        "hits": [
            {"id": items["id"][int(i)].as_py(), "distance": float(d)}
            for d, i in zip(distances[0], rows[0], strict=True)
        ]
    }


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False)
