from typing import Any

import streamlit as st

from vsearch.reports.metric_names import metric_name
from vsearch.serving.messages import Info

ORDER = ("trained", "untrained", "chance")
HEADLINES = ("precision_at_1", "precision_at_10", "map_at_r")
MEANINGS = {
    "precision_at_1": "share of first results with the right label",
    "precision_at_5": "share of the first five with the right label",
    "precision_at_10": "share of the first ten with the right label",
    "cmc_at_5": "share of queries with a right item in the first five",
    "cmc_at_10": "share of queries with a right item in the first ten",
    "recall_at_10": "share of all right items found in the first ten",
    "map_at_r": "mean average precision at R: how early all right items come",
    "r_precision": "precision at R, the number of right items",
    "ndcg_at_10": "gain of the first ten, earlier ones count more",
}
SYNTHETIC = (
    "The photos of this catalog are synthetic, drawn by vsearch: the figures say nothing about "
    "real photos."
)


def show_quality(served: Info) -> None:
    """Draw the measured quality of the served bundle."""
    st.subheader("Measured before serving")
    if served.synthetic:
        st.info(SYNTHETIC)
    metrics = served.quality.get("metrics", {})
    trained = metrics.get("trained", {})
    with st.container(horizontal=True):
        for name in HEADLINES:
            if name in trained:
                value = f"{trained[name]['micro']['value']:.3f}"
                st.metric(metric_name(name), value, border=True, width=200, help=MEANINGS[name])
    protocol = served.quality.get("protocol", {})
    if "queries" in protocol:
        st.write(
            f"{protocol['queries']:,} photos that the network hadn't seen searched "
            f"{protocol['gallery']:,} items. In brackets: 95 % bootstrap interval."
        )
    if trained:
        st.table([_row(name, metrics) for name in trained])
    if served.calibration:
        st.subheader("No good match")
        figures = {name.replace("_", " "): _short(it) for name, it in served.calibration.items()}
        st.table(_two_columns(figures))
    st.subheader("What is served")
    st.table(_two_columns(_served(served)))


def _row(name: str, metrics: dict[str, Any]) -> dict[str, str]:
    row = {"metric": metric_name(name)}
    for side in ORDER:
        if side in metrics:
            row[side] = _value(metrics[side].get(name, {}).get("micro"))
    return row | {"meaning": MEANINGS.get(name, "")}


def _value(found: dict[str, float] | float | None) -> str:
    if found is None:
        return "-"
    if not isinstance(found, dict):
        return f"{found:.3f}"
    if found.get("low") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _short(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _served(served: Info) -> dict[str, str]:
    network = served.model.get("backbone", {})
    class_name = network.get("class_path", "").rsplit(".", 1)[-1]
    index = served.quality.get("index", {})
    recall = f"{index['recall_at_10']:.4f}" if "recall_at_10" in index else "-"
    return {
        "items": f"{served.items:,} with {served.labels:,} labels, generation {served.generation}",
        "network": str(network.get("init_args", {}).get("name") or class_name),
        "dimensions": str(served.model.get("dim", "")),
        "index": str(served.index.get("spec", served.index.get("class_path", ""))),
        "index recall@10": recall,
        "fingerprint": served.fingerprint[:16],
    }


def _two_columns(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"what": name, "value": value} for name, value in values.items()]
