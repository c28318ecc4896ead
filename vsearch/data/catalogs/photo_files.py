import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# the first bytes of each format give the file its extension; damage is found when it is decoded
STARTS = {
    "jpg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG",
    "webp": rb"RIFF.{4}WEBP",
    "gif": rb"GIF8",
    "bmp": rb"BM",
    "avif": rb".{4}ftypavi[fs]",
    "tif": rb"II\*\0|MM\0\*",
}


def content_of(image: Any) -> bytes:
    """Return the bytes of an image's file (arrays become PNG), empty if there is no image."""
    if not isinstance(image, dict):
        return _png(image)
    if image["bytes"] is not None or image["path"] is None:
        return image["bytes"] or b""
    try:
        return Path(image["path"]).read_bytes()
    except OSError:
        return b""


def _png(array: Any) -> bytes:
    try:
        values = np.asarray(array)
        if values.ndim not in (2, 3) or values.dtype.kind not in "iu":
            return b""
        if values.min() < 0 or values.max() > 255:
            return b""
        values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
        stream = io.BytesIO()
        Image.fromarray(values.astype(np.uint8)).save(stream, "PNG")
    except (TypeError, ValueError, OSError):  # ragged, or of another shape
        return b""
    return stream.getvalue()


def extension_of(content: bytes) -> str:
    """Return the extension that fits the first bytes, without a dot; `bin` if none fits."""
    return next(
        (name for name, start in STARTS.items() if re.match(start, content, re.DOTALL)), "bin"
    )
