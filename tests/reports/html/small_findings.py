from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from vsearch.data.io.json_dataclasses import to_json
from vsearch.evaluation import calibration
from vsearch.evaluation.run_report import RunReport
from vsearch.evaluation.scoring import Embedded, exact_index, relevant, score, scored_hits
from vsearch.reports.html.findings import Findings
from vsearch.reports.summary import label_quality, metrics, per_class

TIMES = [{"batch": 1, "threads": 1, "calls": 200, "p50_ms": 0.125, "p99_ms": 0.25}]


def write_photos(folder: Path, n: int, side: int = 24, noisy: bool = False) -> list[str]:
    """Draw so many photos of one colour each, or of noise, which JPEG can't make small."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(n):
        shape = (side, side, 3) if noisy else (1, 1, 3)
        Image.fromarray(rng.integers(256, size=shape, dtype=np.uint8)).resize((side, side)).save(
            folder / f"{number}.png"
        )
    return [str(folder / f"{number}.png") for number in range(n)]


def make(
    photos: list[str],
    names: list[str],
    n_items: int = 120,
    n_queries: int = 40,
    spread: float = 0.6,
    dim: int = 8,
) -> Findings:
    """Return the findings of a made-up run: items around a centre for each of `names`, photos given
    out in turn.
    """
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(names), dim))

    def drawn(n: int, first: int) -> Embedded:
        labels = np.arange(n) % len(names)
        vectors = centres[labels] + spread * rng.normal(size=(n, dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embedded(vectors.astype(np.float32), labels, first + np.arange(n))

    gallery, asked = drawn(n_items, 0), drawn(n_queries, n_items)
    index = exact_index(gallery)
    scores = score(index, asked, gallery)
    cosines, hits = scored_hits(index, asked, gallery)
    learnt = calibration.fit(
        cosines, relevant(hits, asked.labels, gallery.labels), source="val photos"
    )
    items, queries = (
        _table(kind, side, names, photos) for kind, side in (("item", gallery), ("query", asked))
    )
    queries = queries.assign(**scores.model, hits=list(hits), scores=list(cosines))
    report = {
        **_frame(items, queries, names),
        "metrics": to_json(metrics(scores, scores)),
        "per_class": per_class(scores, names),
    }
    report["index"]["labels"] = to_json(label_quality(scores, None))
    return Findings(
        RunReport.from_json(report),
        queries,
        items,
        gallery.embeddings,
        learnt,
        "seed_everything: 0\n",
        "f" * 64,
    )


def _table(kind: str, side: Embedded, names: list[str], photos: list[str]) -> pd.DataFrame:
    n = len(side)
    return pd.DataFrame(
        {
            "id": [f"{kind}-{number}" for number in range(n)],
            "label": np.array(names, dtype=object)[side.labels],
            "path": [photos[number % len(photos)] for number in range(n)]
            if photos
            else ["missing.png"] * n,
        }
    )


def _frame(items: pd.DataFrame, queries: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    sizes = items["label"].value_counts()
    latency = {
        "single_p50_ms": 0.11,
        "single_p99_ms": 0.22,
        "batch_p50_ms": 3.3,
        "batch_p99_ms": 4.4,
    }
    return {
        "protocol": {
            "catalog": "FolderCatalog",
            "synthetic": False,
            "split": "StratifiedSplit",
            "items": len(items) + len(queries),
            "labels": len(names),
            "parts": {"train": len(items), "test": len(queries)},
            "measured_on": "test",
            "catalog_report": {},
            "seeds": {"everything": 7, "split": 3, "batches": None},
            "skipped_photos": 1,
            "queries": len(queries),
            "unanswerable_queries": 0,
            "gallery": len(items),
        },
        "model": {"class_path": "a.b.TinyBackbone", "dim": 8, "epoch": 1, "origin": "random"},
        "index": {
            **{
                "spec": "Flat",
                "exact": True,
                "vectors": len(items),
                "bytes": 2**20,
                "memory_bytes": 2**20,
            },
            **{"build_s": 0.1, "recall_at_1": 1.0, "recall_at_10": 1.0, "recall_at_100": 1.0},
            "latency": {**latency, "batch_size": 32, "threads": 4, "table": TIMES},
        },
        "training": {
            "chosen": 1,
            "epochs": [
                {
                    "epoch": number,
                    "train/loss": 0.4 - 0.1 * number,
                    "val/loss": 0.5 - 0.1 * number,
                    "val/map_at_r": None,
                }
                for number in range(3)
            ],
        },
        "data": {
            "labels": [
                {"label": str(label), "all": int(n), "train": int(n)} for label, n in sizes.items()
            ],
            "copies": 3,
            "skipped": [{"id": "broken", "label": names[0], "error": "not one of JPEG"}],
        },
    }
