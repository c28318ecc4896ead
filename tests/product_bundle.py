"""A bundle of products: photos p0 .. p11 of four products of 5, 3, 1 and 1, and of two more."""

from pathlib import Path

from small_service import served_bundle

PRODUCTS = [*"xxxyyxyxz", None, " ", "u"]


def product_bundle(folder: Path, fuse: str = "best", **extra: bytes) -> Path:
    columns = {
        "id": [f"p{n}" for n in range(len(PRODUCTS))],
        "label": [f"l{n % 3}" for n in range(len(PRODUCTS))],
        "price": [float(n) for n in range(len(PRODUCTS))],
        "product": PRODUCTS,
    }
    products = {"group": "product", "fuse": fuse}
    return served_bundle(folder, len(PRODUCTS), columns=columns, products=products, **extra)


def hits_by_loop(rows: list[dict], scores: dict[str, float], fuse: str) -> list[tuple]:
    """The id of the best photo, the score and the photos of each product, the best first.

    `rows` are the items that may be found, as Arrow gives them.
    """
    photos: dict[str, list[str]] = {}
    for row in rows:
        name = row["product"] if (row["product"] or "").strip() else f"alone {row['id']}"
        photos.setdefault(name, []).append(row["id"])
    found = []
    for ids in photos.values():
        own = [scores[id] for id in ids]
        score = max(own) if fuse == "best" else sum(own) / len(own)
        found.append((ids[own.index(max(own))], score))
    return sorted(found, key=lambda one: -one[1])
