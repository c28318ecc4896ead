from copy import deepcopy
from typing import Any

from vsearch.evaluation.run_report import RunReport


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


CHANGE = {"value": -0.01, "low": -0.02, "high": 0.0, "p_value": 0.06}
TIMES = [
    {"batch": 1, "threads": 1, "calls": 200, "p50_ms": 0.125, "p99_ms": 0.25},
    {"batch": 256, "threads": 4, "calls": 3, "p50_ms": 16.0, "p99_ms": 17.0},
]


def candidate(spec: str, recall: float, ms: float, **said: bool) -> dict[str, Any]:
    return {
        "spec": spec,
        "recall_at_10": recall,
        "single_ms": ms,
        "batch_ms": ms / 2,
        "memory_bytes": 2**21,
        "build_s": 1.25,
        "within_budget": True,
        "pareto": True,
        "chosen": False,
        **said,
    }


def metrics(shift: float) -> dict[str, Any]:
    return {
        "precision_at_1": {"micro": estimate(0.8 + shift), "macro": estimate(0.7 + shift)},
        "map_at_r": {"micro": estimate(0.6 + shift), "macro": estimate(0.5 + shift)},
    }


def beside(value: float) -> dict[str, Any]:
    return {"trained": estimate(value), "untrained": estimate(value - 0.4), "chance": value - 0.55}


def made_up_report() -> RunReport:
    """A report with made-up numbers, none of which comes twice where it matters."""
    at = {"precision_at_1": 0.81, "precision_at_10": 0.62, "map_at_r": 0.43, "ndcg_at_10": 0.64}
    at["precision_at_1_chance"] = 0.25
    content = {
        "protocol": {
            "catalog": "FolderCatalog",
            "synthetic": False,
            "split": "StratifiedSplit",
            "items": 1234,
            "labels": 2,
            "parts": {"train": 1000, "test": 234},
            "measured_on": "test",
            "catalog_report": {},
            "seeds": {"everything": 7, "split": 3, "batches": None},
            "skipped_photos": 3,
            "queries": 230,
            "unanswerable_queries": 4,
            "gallery": 1000,
        },
        "model": {"class_path": "a.b.TinyBackbone", "dim": 8, "epoch": 5, "origin": "random"},
        "index": {
            "spec": "HNSW32",
            "exact": False,
            "vectors": 1000,
            "bytes": 2_621_440,
            "memory_bytes": 3_145_728,
            "build_s": 0.125,
            "recall_at_1": 0.9987,
            "recall_at_10": 0.9876,
            "recall_at_100": 0.9765,
            "latency": {
                "single_p50_ms": 0.11,
                "single_p99_ms": 0.22,
                "batch_p50_ms": 3.3,
                "batch_p99_ms": 4.4,
            }
            | {"batch_size": 32, "threads": 4, "table": TIMES},
            "labels": {
                "precision_at_1": {
                    "exact": estimate(0.91),
                    "served": estimate(0.9),
                    "difference": CHANGE,
                },
                "map_at_r": {
                    "exact": estimate(0.71),
                    "served": estimate(0.7),
                    "difference": CHANGE,
                },
            },
        },
        "metrics": {
            "trained": metrics(0.1),
            "untrained": metrics(-0.3),
            "chance": {
                "precision_at_1": {"micro": 0.321, "macro": 0.322},
                "map_at_r": {"micro": 0.123, "macro": 0.124},
            },
        },
        "per_class": [
            {"label": "red|pink", "queries": 200, **at},
            {"label": "blue", "queries": 30, **at},
        ],
    }
    return RunReport.from_json(content)


def changed(report: RunReport, *path: str, value: Any) -> RunReport:
    """The report with another value at this place of its JSON."""
    content = deepcopy(report.to_json())
    _inner(content, path)[path[-1]] = value
    return RunReport.from_json(content)


def without(report: RunReport, *path: str) -> RunReport:
    """The report without what is at this place of its JSON."""
    content = deepcopy(report.to_json())
    del _inner(content, path)[path[-1]]
    return RunReport.from_json(content)


def _inner(content: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path[:-1]:
        content = content[name]
    return content
