MANIFEST, ITEMS, VECTORS = "manifest.json", "items.parquet", "vectors.npy"
CURRENT, PREVIOUS = "CURRENT", "PREVIOUS"
GENERATIONS, CHANGES = "generations", "changes"
