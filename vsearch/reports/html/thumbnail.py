from base64 import b64encode

from vsearch.data.photos import Box, PhotoError, open_photo, small_jpeg
from vsearch.data.regions import Region
from vsearch.reports.pictures import framed

QUALITY = 74


def thumbnail(path: str, box: Box | None, side: int, region: Region | None = None) -> str | None:
    """Return a photo, or a box cut out of it, as a JPEG data URI; None: it can't be read.

    Its longest side has at most `side` pixels. A frame is drawn around any `region`.
    """
    try:
        photo = open_photo(path, box, side=side)
    except PhotoError:
        return None
    if region is not None:
        photo.thumbnail((side, side))
        photo = framed(photo, region)
    data = small_jpeg(photo, side, QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"
