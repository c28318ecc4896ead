import html
import string
from collections.abc import Sequence
from typing import Literal

import numpy as np

from vsearch.optional_packages import require

Cleaning = Literal["", "whitespace", "lower", "canonicalize"]
NO_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


class Tokenizer:
    """Turns texts into the token ids that a text tower was trained with; it needs no PyTorch.

    Args:
        file: content of a file of the tokenizers library, which also cuts and pads.
        cleaning: how texts are cleaned first, by open_clip's name; empty: not at all.

    Raises:
        MissingPackage: tokenizers or ftfy isn't installed.
    """

    def __init__(self, file: str, cleaning: Cleaning = "") -> None:
        self.file = file
        self.cleaning = cleaning
        self._tokenizer = require("tokenizers", "text").Tokenizer.from_str(file)
        if cleaning:
            self._fixed = require("ftfy", "text").fix_text

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids, int64 (n, length)."""
        ids = [self._tokenizer.encode(self._clean(text)).ids for text in texts]
        return np.array(ids, dtype=np.int64)

    def _clean(self, text: str) -> str:
        if not self.cleaning:
            return text
        text = html.unescape(html.unescape(self._fixed(text)))
        if self.cleaning == "canonicalize":
            text = text.translate(NO_PUNCTUATION)
        text = " ".join(text.split())
        return text if self.cleaning == "whitespace" else text.lower()
