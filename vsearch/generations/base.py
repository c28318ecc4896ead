MANIFEST, ITEMS, VECTORS = "manifest.json", "items.parquet", "vectors.npy"
CURRENT, PREVIOUS = "CURRENT", "PREVIOUS"
GENERATIONS, CHANGES = "generations", "changes"


class BundleError(ValueError):
    """A bundle can't be served or changed: a part is missing, damaged, foreign, or in use."""
