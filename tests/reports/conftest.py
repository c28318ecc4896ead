from typing import Any

import pytest


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


CHANGE = {"value": -0.01, "low": -0.02, "high": 0.0, "p_value": 0.06}
TIMES = [
    {"batch": 1, "threads": 1, "calls": 200, "p50_ms": 0.125, "p99_ms": 0.25},
    {"batch": 256, "threads": 4, "calls": 3, "p50_ms": 16.0, "p99_ms": 17.0},
]


def candidate(spec: str, recall: float, ms: float, **said: bool) -> dict[str, Any]:
    size = {"disk_bytes": 2**21, "memory_bytes": 2**21, "build_s": 1.25}
    flags = {"within_budget": True, "pareto": True, "chosen": False, **said}
    return {
        "spec": spec,
        "recall_at_10": recall,
        "single_ms": ms,
        "batch_ms": ms / 2,
        **size,
        **flags,
    }


@pytest.fixture
def with_frontier(report) -> dict[str, Any]:
    """The same report, its index chosen among four candidates."""
    rows = [
        candidate("Flat", 1.0, 4.0),
        candidate("HNSW32", 0.99, 0.5, chosen=True),
        candidate("PQ8", 0.8, 0.1, within_budget=False),
        candidate("SQ8", 0.985, 5.0, within_budget=False, pareto=False),
    ]
    found = {"why": "Since it is so.", "frontier": rows, "trial": {"vectors": 800, "queries": 200}}
    return {**report, "index": {**report["index"], **found}}


def metrics(shift: float) -> dict[str, Any]:
    return {
        "precision_at_1": {"micro": estimate(0.8 + shift), "macro": estimate(0.7 + shift)},
        "map_at_r": {"micro": estimate(0.6 + shift), "macro": estimate(0.5 + shift)},
    }


def beside(value: float) -> dict[str, Any]:
    return {"trained": estimate(value), "untrained": estimate(value - 0.4), "chance": value - 0.55}


@pytest.fixture
def with_axes(report) -> dict[str, Any]:
    """The same report with two further axes, of which the second could not be measured."""
    counts = {"values": 4, "missing": 1234, "queries": 220, "unanswerable": 3}
    colour = {
        name: beside(value) for name, value in {"precision_at_1": 0.71, "cmc_at_10": 0.92}.items()
    }
    graded = {
        "attributes": ["label", "colour", "size"],
        "queries": 230,
        "unanswerable": 0,
        "ndcg_at_10": beside(0.66),
    }
    axes = {
        "colour": {**counts, "metrics": colour},
        "size": {**counts, "queries": 0, "metrics": {}},
    }
    return {**report, "axes": axes, "graded": graded}


@pytest.fixture
def report() -> dict[str, Any]:
    """A report with made-up numbers, none of which comes twice where it matters."""
    at = {"precision_at_1": 0.81, "precision_at_10": 0.62, "map_at_r": 0.43, "ndcg_at_10": 0.64}
    at["precision_at_1_chance"] = 0.25
    return {
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
