"""Find a product in a photo of something else: whole photos against parts of them.

    python -m benchmarks.street_photos BUNDLE --photos HIRES.zip --backgrounds OTHER.zip
    [--queries 1000] [--items 6000] [--seed 0]

HIRES.zip holds photos of products of the bundle's catalog, named by their ids, in another size.
Each is cut out of its white background, recoloured, turned by up to 20 degrees, and put on a photo
of OTHER.zip, where its frame covers 30 to 60 % of the area: a street-like photo, drawn by the seed.

- "catalog": a street photo searches the catalog. Right: the same product (its id).
- "street photos": a catalog photo searches the street photos. Right: the one with its product.

R@1 and R@10 are shares of queries, with 95 % intervals of the difference to whole photos, paired by
query. Every second product is for choosing a grid, the others are for telling how good it is.
`parts of queries` is `search --parts`, `parts of items` is `data.index_views`. Milliseconds are
medians of single searches with FAISS's Flat, one thread.
"""

import argparse
import io
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import faiss
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance
from rich.progress import track

from vsearch.bundle.opening import open_bundle
from vsearch.data.photos import read_square
from vsearch.data.regions import Grid, Region
from vsearch.search.searcher import Searcher

GRIDS = {
    "2 x 2": Grid(2),
    "2 x 2, 0.65": Grid(2, 0.65),
    "3 x 3, 0.5": Grid(3, 0.5),
    "3 x 3, 0.65": Grid(3, 0.65),
}
SIDE = 320  # pixels of a street photo
MARK = (255, 0, 255)  # a colour for the background, to be cut away
RESAMPLES = 1000


def street_photo(product: Image.Image, background: Image.Image, rng: np.random.Generator) -> bytes:
    """Return a PNG of the product, cut out and changed, somewhere on the background."""
    marked = product.convert("RGB")
    for corner in ((0, 0), (marked.width - 1, 0), (0, marked.height - 1)):
        ImageDraw.floodfill(marked, corner, MARK, thresh=30)
    outside = (np.asarray(marked) == MARK).all(axis=2)
    mask = Image.fromarray(np.where(outside, 0, 255).astype(np.uint8))

    shown = product.convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        shown = enhance(shown).enhance(rng.uniform(0.7, 1.3))
    angle = rng.uniform(-20, 20)
    shown = shown.rotate(angle, expand=True)
    mask = mask.rotate(angle, expand=True)

    scale = SIDE * np.sqrt(rng.uniform(0.3, 0.6) / (shown.width * shown.height))
    width, height = (min(SIDE, round(scale * side)) for side in shown.size)
    left, top = rng.integers(0, SIDE - width + 1), rng.integers(0, SIDE - height + 1)
    street = background.convert("RGB").resize((SIDE, SIDE))
    street.paste(shown.resize((width, height)), (left, top), mask.resize((width, height)))
    file = io.BytesIO()
    street.save(file, "PNG")
    return file.getvalue()


def street_photos(args: argparse.Namespace, ids: list[str]) -> list[bytes]:
    """Return a street photo of each product."""
    rng = np.random.default_rng(args.seed)
    with zipfile.ZipFile(args.photos) as products, zipfile.ZipFile(args.backgrounds) as others:
        names = {Path(name).stem: name for name in products.namelist()}
        backgrounds = [name for name in sorted(others.namelist()) if not name.endswith("/")]
        made = []
        for id in track(ids, "Drawing street photos"):
            product = Image.open(io.BytesIO(products.read(names[id])))
            background = Image.open(io.BytesIO(others.read(str(rng.choice(backgrounds)))))
            made.append(street_photo(product, background, rng))
    return made


def embedded(
    searcher: Searcher, photos: list[bytes] | list[str], region: Region | None, title: str
) -> np.ndarray:
    """Return the embeddings, float32 (n, dim), of a part of each photo."""
    vectors = []
    for start in track(range(0, len(photos), 64), title):
        squares = [
            read_square(photo, searcher.runtime.preprocessing, region=region)
            for photo in photos[start : start + 64]
        ]
        vectors.append(searcher.runtime.embed(np.stack(squares)))
    return np.concatenate(vectors)


def best(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the cosine (q, n) of the most similar parts of queries (q, p, dim) and items (n, r,
    dim).
    """
    scores = np.full((len(queries), len(items)), -1, dtype=np.float32)
    for part in range(queries.shape[1]):
        for own in range(items.shape[1]):
            np.maximum(scores, queries[:, part] @ items[:, own].T, out=scores)
    return scores


def ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many items each query finds before the right one (q,)."""
    return (scores > scores[np.arange(len(right)), right][:, None]).sum(axis=1)


def search_ms(vectors: np.ndarray, queries: np.ndarray, parts: int) -> float:
    """Return the milliseconds of one search, with `parts` queries, for 10 items."""
    flat = np.ascontiguousarray(vectors.reshape(-1, vectors.shape[-1]))
    index = faiss.IndexFlatL2(flat.shape[1])
    index.add(flat)
    faiss.omp_set_num_threads(1)
    times = []
    for start in range(0, 20 * parts, parts):
        asked = np.ascontiguousarray(queries.reshape(-1, flat.shape[1])[start : start + parts])
        begun = time.perf_counter()
        index.search(asked, 10 * vectors.shape[1])
        times.append(1000 * (time.perf_counter() - begun))
    return median(times)


@dataclass(frozen=True)
class Way:
    """One way to search: what is searched with what, and the ranks of the right items."""

    name: str
    ranks: np.ndarray
    per_item: int
    ms: float

    def cells(self, whole: "Way", half: slice) -> list[str]:
        """Return R@1 and R@10 of half of the queries, and their gains over whole photos."""
        found = []
        for k in (1, 10):
            own = self.ranks[half] < k
            gain = own.astype(float) - (whole.ranks[half] < k)
            drawn = np.random.default_rng(0).integers(0, len(gain), (RESAMPLES, len(gain)))
            low, high = np.percentile(gain[drawn].mean(axis=1), (2.5, 97.5))
            found.append(f"{own.mean():.3f} ({gain.mean():+.3f} [{low:+.3f}, {high:+.3f}])")
        return found


def main() -> None:
    """Draw, embed, search, print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--photos-root", type=Path, help="where the catalog's photos are now")
    parser.add_argument("--queries", type=int, default=1000, help="products (default: 1000)")
    parser.add_argument("--items", type=int, default=6000, help="of the catalog (default: 6000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    searcher = open_bundle(args.bundle, photos_root=args.photos_root)
    rng = np.random.default_rng(args.seed)
    all_ids = searcher.items["id"].to_pylist()
    with zipfile.ZipFile(args.photos) as products:
        pictured = {Path(name).stem for name in products.namelist()}
    known = rng.permutation([row for row, id in enumerate(all_ids) if id in pictured])
    shown = known[: args.queries]
    others = rng.permutation(np.setdiff1d(np.arange(len(all_ids)), known))
    rows = np.concatenate([shown, others[: args.items - len(shown)]])
    right = np.arange(len(shown))

    street = street_photos(args, [all_ids[row] for row in shown])
    catalog = searcher.index.vectors(rows)[:, None]
    paths = [searcher.items["path"][int(row)].as_py() for row in rows]
    whole = embedded(searcher, street, None, "Street photos")[:, None]
    in_catalog = [_way("whole photos", whole, catalog, right)]
    in_street = [_way("whole photos", catalog[: len(shown)], whole, right)]
    for name, grid in GRIDS.items():
        parts = [whole[:, 0]]
        for number, region in enumerate(grid.boxes, start=1):
            parts.append(embedded(searcher, street, region, f"Street photos, {name}, {number}"))
        of_street = np.stack(parts, axis=1)
        in_catalog.append(_way(f"parts of queries, {name}", of_street, catalog, right))
        in_street.append(_way(f"parts of items, {name}", catalog[: len(shown)], of_street, right))
    parts = [catalog[:, 0]]
    for number, region in enumerate(Grid(2, 0.65).boxes, start=1):
        parts.append(embedded(searcher, paths, region, f"Catalog photos, 2 x 2, 0.65, {number}"))
    of_catalog = np.stack(parts, axis=1)
    in_catalog.append(_way("parts of items, 2 x 2, 0.65", whole, of_catalog, right))

    print(f"{len(rows):,} catalog photos, {len(shown):,} street photos, seed {args.seed}")
    for title, ways in (("catalog", in_catalog), ("street photos", in_street)):
        head = ["searched with", "R@1, to choose", "R@10", "R@1", "R@10", "vectors an item", "ms"]
        print(f"\nIn the {title}:\n| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
        for way in ways:
            cells = [*way.cells(ways[0], slice(0, None, 2)), *way.cells(ways[0], slice(1, None, 2))]
            numbers = [str(way.per_item), f"{way.ms:.2f}"]
            print("| " + " | ".join([way.name, *cells, *numbers]) + " |")


def _way(name: str, queries: np.ndarray, items: np.ndarray, right: np.ndarray) -> Way:
    found = ranks(best(queries, items), right)
    return Way(name, found, items.shape[1], search_ms(items, queries, queries.shape[1]))


if __name__ == "__main__":
    main()
