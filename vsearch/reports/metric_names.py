def metric_name(name: str) -> str:
    """Return a metric's name as people write it: `precision_at_1` is precision@1."""
    known = {"map_at_r": "MAP@R", "r_precision": "R-precision"}
    return known.get(name, name.replace("_at_", "@").replace("ndcg", "NDCG").replace("_", " "))
