from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 200  # a product's canvas, pixels: 2.5 times the default photo
TONES = ("none", "body", "dark", "pale", "ink")
COLOURS = {
    "black": (38, 38, 42),
    "white": (240, 240, 236),
    "grey": (140, 142, 146),
    "red": (205, 40, 46),
    "orange": (238, 134, 36),
    "yellow": (238, 206, 60),
    "green": (52, 142, 74),
    "blue": (44, 86, 178),
    "purple": (122, 64, 156),
    "pink": (236, 142, 178),
}
PATTERNS = ("plain", "stripes", "dots", "checks")
# A part is "symmetry kind tone x,y x,y ...", 0-100 from the top left corner, drawn in order.
# symmetry: one (as it is), half (the left half; closed by its mirror image), pair (it and its
# mirror image).
SHAPES = {
    "t-shirt": """half poly body 50,23 42,21 36,13 22,19 4,38 17,50 27,42 27,88 50,88
        one line dark 36,13 42,21 50,23 58,21 64,13; pair line dark 9,33 22,46
        one line dark 28,83 72,83""",
    "sneaker": """one curve body 7,74 7,44 12,36 20,44 32,44 42,30 50,32 60,50 84,58 94,66 94,74
        one poly pale 5,70 95,70 95,78 91,81 8,81 5,78; one curve dark 70,54 86,58 95,66 95,71 70,71
        one line pale 42,40 52,35; one line pale 46,46 57,41; one line pale 52,52 62,47
        one thick pale 18,66 40,52""",
    "trousers": """half poly body 50,6 30,6 24,95 44,95 50,36; one poly dark 30,6 70,6 70,13 30,13
        one line dark 50,13 50,36; pair line dark 38,14 30,26; pair line dark 25,90 44,90""",
    "handbag": """one loop dark 30,48 32,22 40,12 60,12 68,22 70,48
        one poly body 16,46 84,46 93,90 7,90
        one poly dark 16,46 84,46 76,64 50,70 24,64; one oval pale 45,63 55,73""",
    "shirt": """half poly body 50,18 40,11 28,15 17,28 3,78 14,82 27,46 27,92 50,92
        pair poly pale 50,22 41,9 33,14 41,31; one line dark 50,22 50,92
        pair poly dark 5,70 17,74 14,82 3,78
        one oval ink 48,34 52,38; one oval ink 48,48 52,52; one oval ink 48,62 52,66
        one oval ink 48,76 52,80
        one poly dark 56,40 68,40 68,52 62,55 56,52""",
    "dress": """half poly body 50,24 43,22 39,6 34,6 34,26 38,46 10,90 28,95 50,93
        one poly dark 38,44 62,44 64,51 36,51; pair line dark 44,52 34,94
        one line dark 50,52 50,93""",
    "watch": """one poly body 39,3 61,3 64,32 36,32; one poly body 36,68 64,68 61,97 39,97
        one poly dark 76,46 81,46 81,54 76,54; one oval dark 23,23 77,77; one oval pale 30,30 70,70
        one thick ink 50,50 50,36; one thick ink 50,50 60,56; one oval ink 48,84 52,88
        one oval ink 48,77 52,81""",
    "backpack": """one loop dark 40,20 40,6 60,6 60,20; pair curve dark 20,36 6,48 6,82 20,88
        half curve body 50,14 28,14 16,32 16,92 22,94 50,94; one poly dark 27,58 73,58 73,86 27,86
        one line pale 27,65 73,65; one loop pale 24,50 28,26 50,22 72,26 76,50
        one oval pale 47,66 53,75""",
    "heel": """one curve body 10,22 18,18 34,46 58,66 82,72 96,84 92,89 70,88 52,82 32,62 20,56 8,44
        one poly ink 9,40 24,57 17,62 14,90 9,90; one thick ink 30,63 52,83 70,89 92,89
        one line dark 64,70 74,86""",
    "boot": """one curve body 28,8 60,8 62,44 66,52 88,62 94,78 90,84 24,84 28,60
        one poly dark 25,4 63,4 63,15 25,15
        one poly ink 24,80 94,80 94,87 52,87 48,94 24,94; one line pale 52,24 62,24
        one line pale 52,34 62,34
        one line pale 52,44 63,44; one line pale 54,54 67,51; one line dark 52,15 53,58""",
    "sunglasses": """one thick body 42,42 50,38 58,42; pair thick body 6,38 3,30 14,24
        pair curve body 3,34 47,36 48,52 40,68 16,70 5,56
        pair curve ink 9,39 42,41 43,51 36,63 18,64 10,54
        pair line pale 16,58 26,44""",
    "cap": """one curve body 8,66 10,40 26,22 46,20 64,26 72,46 72,66; one oval dark 39,17 47,23
        one curve dark 58,54 78,56 97,68 96,76 78,70 54,68; one loop dark 43,22 30,36 28,64
        one loop dark 43,22 54,36 56,60; one line dark 10,60 58,60""",
    "shorts": """half poly body 50,20 24,20 9,74 45,80 50,52; one poly dark 24,20 76,20 78,28 22,28
        one line dark 50,28 50,52; pair line dark 32,29 21,44
        pair line dark 11,67 46,73; pair line pale 48,28 44,40""",
    "skirt": """half poly body 50,18 34,18 8,80 20,86 35,82 50,87
        one poly dark 34,18 66,18 69,26 31,26
        pair line dark 37,26 20,85; pair line dark 44,26 36,82; one line dark 50,26 50,86""",
    "sock": """one curve body 43,8 68,8 70,40 72,62 62,74 40,92 20,95 8,86 14,72 38,60 42,40
        one poly dark 41,4 70,4 70,17 41,17; one curve pale 70,52 74,66 60,78 52,66
        one curve pale 26,66 8,74 8,92 24,95 34,92
        one line pale 49,6 49,16; one line pale 55,6 55,16; one line pale 62,6 62,16""",
    "bottle": """half curve body 50,16 41,16 42,28 28,42 28,96 32,97 50,97
        one poly ink 40,4 60,4 60,18 40,18
        one poly pale 29,54 71,54 71,80 29,80; one thick dark 36,62 64,62
        one line dark 40,71 60,71""",
}
CATEGORIES = {
    **dict.fromkeys(
        ("t-shirt", "trousers", "shirt", "dress", "shorts", "skirt", "sock"), "apparel"
    ),
    **dict.fromkeys(("sneaker", "heel", "boot"), "footwear"),
    **dict.fromkeys(("handbag", "watch", "backpack", "sunglasses", "cap", "bottle"), "accessories"),
}
Points = NDArray[np.float64]


def _copies(symmetry: str, points: Points) -> list[Points]:
    mirror = points * (-1, 1) + (SIDE, 0)
    return {
        "one": [points],
        "half": [np.concatenate([points, mirror[::-1]])],
        "pair": [points, mirror],
    }[symmetry]


def smooth(points: Points, closed: bool) -> Points:
    """Round `(n, 2)` corners twice by Chaikin's algorithm (1974); an open line keeps its ends."""
    for _ in range(2):
        after = np.roll(points, -1, axis=0)
        cut = np.stack(
            [0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1
        ).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut[:-2], points[-1:]])
    return points


def _lay(pen: ImageDraw.ImageDraw, kind: str, tone: int, points: Points) -> None:
    if kind == "oval":
        pen.ellipse([*points.min(axis=0), *points.max(axis=0)], fill=tone)
    elif kind in ("line", "thick", "loop"):
        path = smooth(points, closed=False) if kind == "loop" else points
        pen.line(path.ravel().tolist(), fill=tone, width=4 if kind == "line" else 8, joint="curve")
    else:
        path = smooth(points, closed=True) if kind == "curve" else points
        pen.polygon(path.ravel().tolist(), fill=tone, outline=TONES.index("dark"), width=3)


@cache
def silhouette(label: str) -> NDArray[np.uint8]:
    """Return the product type `label` as a `(SIDE, SIDE)` map of indices into `TONES`."""
    canvas = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(canvas)
    for part in SHAPES[label].replace("\n", ";").split(";"):
        symmetry, kind, tone, *corners = part.split()
        points = np.array([corner.split(",") for corner in corners], dtype=np.float64) * (
            SIDE / 100
        )
        for copy in _copies(symmetry, points):
            _lay(pen, kind, TONES.index(tone), copy)
    return np.asarray(canvas)


def second_colour(pattern: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the `(SIDE, SIDE)` mask of a pattern's second colour, of random width and slant."""
    period, slant = rng.uniform(18, 34), rng.uniform(0, np.pi)
    along = np.arange(SIDE, dtype=np.float32) / np.float32(period)
    cos, sin = np.float32(np.cos(slant)), np.float32(np.sin(slant))
    u, v = along * cos + along[:, None] * sin, along[:, None] * cos - along * sin
    u, v = u - np.floor(u), v - np.floor(v)
    if pattern == "stripes":
        return u < 0.4
    if pattern == "dots":
        return (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.08
    return (u < 0.5) ^ (v < 0.5) if pattern == "checks" else np.zeros((SIDE, SIDE), dtype=bool)


def draw_product(label: str, colour: str, pattern: str, rng: np.random.Generator) -> Image.Image:
    """Return one product in front view as an RGBA image of `SIDE` x `SIDE` pixels."""
    body = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 10, 3), 0, 255)
    dark = body * 0.5 if body.mean() > 80 else body + 70
    pale, ink = rng.uniform(205, 250, 3), rng.uniform(10, 50, 3)
    second = 0.7 * body + (80 if body.mean() < 128 else 0)
    # RGBA of each tone, the pattern's second colour last.
    palette = np.full((len(TONES) + 1, 4), 255, dtype=np.uint8)
    palette[0] = 0
    palette[1:, :3] = np.clip([body, dark, pale, ink, second], 0, 255)
    tones = silhouette(label)
    shown = np.where((tones == 1) & second_colour(pattern, rng), len(TONES), tones)
    return Image.fromarray(palette.take(shown, axis=0))
