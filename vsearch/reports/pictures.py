from io import BytesIO

from PIL import Image


def png(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
