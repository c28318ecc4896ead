from io import BytesIO

from PIL import Image, ImageDraw

from vsearch.data.regions import Region, pixels


def png(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def framed(picture: Image.Image, region: Region) -> Image.Image:
    """Return an RGB picture with a frame around a region: white and black, to be seen on any."""
    found = picture.copy()
    pen = ImageDraw.Draw(found)
    left, top, right, bottom = pixels(region, *picture.size)
    width = max(1, max(picture.size) // 100)
    for inset in range(2 * width):
        if right - left > 2 * inset and bottom - top > 2 * inset:
            corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
            pen.rectangle(corners, outline="white" if inset < width else "black")
    return found
