"""How much time decoding large JPEGs at a reduced size saves.

    python -m benchmarks.decoding fashion/images [--photos 40] [--rounds 5] [--size 224]

Enlarges photos to several sides (noise keeps the files as large as a camera's), and turns them into
the network's input in turn, on one thread: as vsearch does, the same without reduced-size decoding,
and with torchvision's decoder. Prints the median CPU milliseconds per photo, and by how much the
pixels of the first two differ.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from vsearch.data.photos import Preprocessing, open_photo, read_square, to_square

SIDES = (240, 600, 1200, 2400)  # pixels, of the longest side


def enlarged(path: Path, side: int, rng: np.random.Generator) -> bytes:
    """Return a photo as a JPEG of this longest side, with the noise of a sensor."""
    photo = Image.open(path).convert("RGB")
    width, height = (side * own // max(photo.size) for own in photo.size)
    pixels = np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def whole(photo: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Return what `read_square` does, of all pixels."""
    return to_square(open_photo(photo, fill=preprocessing.fill), preprocessing)


def by_torchvision(photo: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """Decode and resize a photo with torchvision, unpadded: the work, not the same pixels."""
    from torchvision.io import decode_jpeg
    from torchvision.transforms.v2.functional import resize

    pixels = decode_jpeg(torch.frombuffer(bytearray(photo), dtype=torch.uint8))
    square = resize(pixels, [preprocessing.size - 1], max_size=preprocessing.size, antialias=True)
    return square.numpy()


def milliseconds(
    ways: list[Callable[[bytes, Preprocessing], np.ndarray]],
    photos: list[bytes],
    preprocessing: Preprocessing,
    rounds: int,
) -> list[float]:
    """Return each way's median CPU milliseconds a photo, over rounds in which they take turns."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:  # imports what it needs
        way(photos[0], preprocessing)
    for _ in range(rounds):
        for way, own in zip(ways, times, strict=True):
            start = time.process_time()
            for photo in photos:
                way(photo, preprocessing)
            own.append(1000 * (time.process_time() - start) / len(photos))
    return [median(own) for own in times]


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos_folder", type=Path)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="what the network sees")
    args = parser.parse_args()
    torch.set_num_threads(1)
    preprocessing, rng = Preprocessing(args.size, (0, 0, 0), (1, 1, 1)), np.random.default_rng(0)
    paths = sorted(args.photos_folder.glob("*.jpg"))[: args.photos]
    print("| side, px | KB | vsearch, ms | whole, ms | torchvision, ms | difference, of 255 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in SIDES:
        photos = [enlarged(path, side, rng) for path in paths]
        took = milliseconds(
            [read_square, whole, by_torchvision], photos, preprocessing, args.rounds
        )
        pairs = ((read_square(one, preprocessing), whole(one, preprocessing)) for one in photos)
        apart = np.mean([np.abs(one.astype(float) - other).mean() for one, other in pairs])
        kilobytes = np.mean([len(one) for one in photos]) / 1000
        print(
            f"| {side} | {kilobytes:.0f} | {' | '.join(f'{ms:.1f}' for ms in took)} | {apart:.2f} |"
        )


if __name__ == "__main__":
    main()
