from typing import Any

import streamlit as st

from vsearch.serving.messages import Info

ORDER = ("trained", "untrained", "chance")
SAID = {
    "precision_at_1": "share of first results with the right label",
    "precision_at_5": "share of the first five with the right label",
    "precision_at_10": "share of the first ten with the right label",
    "cmc_at_5": "queries with a right one among the first five",
    "cmc_at_10": "queries with a right one among the first ten",
    "recall_at_10": "share of all right items that the first ten hold",
    "map_at_r": "mean average precision at R: how early all right items come",
    "r_precision": "precision at R, the number of right items that there are",
    "ndcg_at_10": "gain of the first ten, earlier ones counting more",
}


def quality(found: Info) -> None:
    """Draw how good the open bundle was measured to be, before it was served."""
    protocol, index = found.quality.get("protocol", {}), found.quality.get("index", {})
    st.subheader("Measured before it was served")
    if found.synthetic:
        st.info(
            "The photos of this catalog are synthetic, drawn by vsearch: its figures say nothing "
            "about real photos."
        )
    trained = found.quality.get("metrics", {}).get("trained", {})
    with st.container(horizontal=True):
        for name in ("precision_at_1", "precision_at_10", "map_at_r"):
            if name in trained:
                st.metric(
                    name,
                    f"{trained[name]['micro']['value']:.3f}",
                    border=True,
                    width=200,
                    help=SAID[name],
                )
    if "queries" in protocol:
        st.write(
            f"{protocol['queries']:,} photos that the network had never seen searched "
            f"{protocol['gallery']:,} items. In brackets: 95 % bootstrap interval."
        )
    if rows := _rows(found.quality.get("metrics", {})):
        st.table(rows)
    if found.calibration:
        st.subheader("No good match")
        st.table(
            [
                {"what": name.replace("_", " "), "value": _short(value)}
                for name, value in found.calibration.items()
            ]
        )
    st.subheader("What is served")
    st.table(_served(found, index))


def _rows(metrics: dict[str, Any]) -> list[dict[str, str]]:
    sides = [side for side in ORDER if side in metrics]
    return [
        {
            "metric": name,
            **{side: _value(metrics[side].get(name, {}).get("micro")) for side in sides},
        }
        | {"meaning": SAID.get(name, "")}
        for name in metrics.get("trained", {})
    ]


def _value(found: dict[str, float] | float | None) -> str:
    if found is None:
        return "-"
    if not isinstance(found, dict):
        return f"{found:.3f}"
    if found.get("low") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _served(found: Info, index: dict[str, Any]) -> list[dict[str, str]]:
    network = found.model.get("backbone", {})
    what = {
        "items": f"{found.items:,} with {found.labels:,} labels, generation {found.generation}",
        "network": str(
            network.get("init_args", {}).get("name")
            or network.get("class_path", "").rsplit(".", 1)[-1]
        ),
        "dimensions": str(found.model.get("dim", "")),
        "index": str(found.index.get("spec", found.index.get("class_path", ""))),
        "index recall@10": f"{index['recall_at_10']:.4f}" if "recall_at_10" in index else "-",
        "fingerprint": found.fingerprint[:16],
    }
    return [{"what": name, "value": value} for name, value in what.items()]
