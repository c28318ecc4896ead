KNOWN = {"map_at_r": "MAP@R", "r_precision": "R-precision"}


def metric_name(name: str) -> str:
    """Return a metric's name as people write it: `precision_at_1_macro` is precision@1, macro."""
    metric, macro, _ = name.partition("_macro")
    words = metric.replace("_at_", "@").replace("ndcg", "NDCG").replace("_", " ")
    return KNOWN.get(metric, words) + (", macro" if macro else "")
