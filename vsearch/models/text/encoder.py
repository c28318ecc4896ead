from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vsearch.models.processor import usual_threads
from vsearch.models.runtimes.base import OUTPUT
from vsearch.models.text.tokenizer import Tokenizer

FILE = "text.onnx"  # in an export's folder, and text.onnx.data if the tower isn't tiny
INPUT = "tokens"
BATCH = 64
TEMPLATE = "a photo of a {}"  # of a label, as CLIP's own evaluation asks


class TextEncoder(ABC):
    """Embeds texts in the space of a network's photos."""

    tokenizer: Tokenizer

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of one or more texts."""
        tokens = self.tokenizer(texts)
        starts = range(0, len(tokens), BATCH)
        return np.concatenate([self.embed_tokens(tokens[at : at + BATCH]) for at in starts])

    @abstractmethod
    def embed_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of token ids, int64 (n, length)."""


class OnnxText(TextEncoder):
    """A text tower in ONNX Runtime, on the CPU, from the folder of an export."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        import onnxruntime  # importing it takes most of a second

        self.tokenizer = tokenizer
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usual_threads()
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(
            folder / FILE, options, providers=["CPUExecutionProvider"]
        )

    def embed_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (n, dim), of token ids, int64 (n, length)."""
        (vectors,) = self._session.run([OUTPUT], {INPUT: tokens})
        return np.asarray(vectors)
