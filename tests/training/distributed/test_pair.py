"""Two processes, a gloo group on the CPU, beside one process that does the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from distributed.jobs import JOBS, K, P, data_of
from distributed.pair import run_pairs

WORLD = 2
KINDS = ("triplet", "memory", "proxies", "axes", "uneven")


class Pair:
    """A folder of what two ranks did, and what one process makes of the same."""

    def __init__(self, root: Path) -> None:
        self.root, self._alone = root, {}
        names = [*KINDS, "indexed", "resumed", "scored", "failed", "wrapped", "cached", "unfrozen"]
        (self.killed, statuses), text = run_pairs(root, ["killed"], names)
        assert statuses == [0, 0], text

    def ranks(self, name: str) -> list[Any]:
        return [
            torch.load(self.root / f"{name}-{rank}.pt", weights_only=True) for rank in range(WORLD)
        ]

    def alone(self, name: str) -> Any:
        if name not in self._alone:
            self._alone[name] = JOBS[name](self.root / f"alone-{name}", 1)
        return self._alone[name]


@pytest.fixture(scope="session")
def pair(tmp_path_factory) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"))


def near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(one[name], other[name], atol=1e-5) for name in one
    )


def test_ranks_batches_are_pk_apart_and_together_those_of_one_process(pair):
    first, second = (rank["rows"] for rank in pair.ranks("triplet"))
    data = data_of(pair.root / "alone", 1)
    data.read()
    labels = data.items["label"]
    for one, other in zip(first, second, strict=True):
        assert not set(one) & set(other)
        assert not set(labels[one]) & set(labels[other])
        for rows in (one, other):
            assert labels[rows].value_counts().tolist() == [K] * (P // WORLD)
    assert [one + other for one, other in zip(first, second, strict=True)] == pair.alone("triplet")[
        "rows"
    ]


def test_a_label_of_few_photos_makes_ranks_batches_differ_in_size(pair):
    first, second = (rank["rows"] for rank in pair.ranks("uneven"))
    assert any(len(one) != len(other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_is_that_of_one_process_with_the_joint_batch(kind, pair):
    first, second = pair.ranks(kind)
    wanted = pair.alone(kind)
    assert len(first["gradients"]) == len(wanted["gradients"]) > 3
    for one, other, whole in zip(
        first["gradients"], second["gradients"], wanted["gradients"], strict=True
    ):
        assert torch.equal(one, other)
        assert torch.cosine_similarity(one, whole, dim=0) >= 0.9999
        assert one.norm() / whole.norm() == pytest.approx(1, abs=1e-4)
    assert near(first["weights"], second["weights"])
    assert near(first["weights"], wanted["weights"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_epoch_logs_what_one_process_logs(kind, pair):
    first, second = (rank["values"] for rank in pair.ranks(kind))
    assert first == second
    for found, wanted in zip(first, pair.alone(kind)["values"], strict=True):
        assert {"train/loss", "train/embedding_spread", "val/map_at_r"} < found.keys()
        found.pop("val/loss"), wanted.pop("val/loss")  # over batches of P, which is each rank's
        assert found == pytest.approx(wanted, abs=1e-5)


def test_validate_and_test_see_each_photo_once_and_say_what_one_process_says(pair):
    first, second = pair.ranks("scored")
    assert {"val/loss", "val/precision_at_1", "test/map_at_r"} < first.keys()
    assert first == second == pytest.approx(pair.alone("scored"), abs=1e-6)


def test_predict_writes_each_photo_once_in_the_catalogs_order(pair):
    pair.alone("scored")
    found, wanted = (
        pd.read_parquet(pair.root / name / "embeddings.parquet")
        for name in ("scored", "alone-scored")
    )
    assert found[["id", "label"]].equals(wanted[["id", "label"]])
    vectors = [torch.from_numpy(np.stack(table["embedding"])) for table in (found, wanted)]
    assert torch.allclose(*vectors, atol=1e-5)


def test_the_bundle_is_built_once_and_reports_what_one_process_reports(pair):
    weights = pair.alone("indexed")["weights"]
    assert near(pair.ranks("indexed")[0]["weights"], weights)
    found, wanted = (
        json.loads((pair.root / name / "bundle" / "report.json").read_text())
        for name in ("indexed", "alone-indexed")
    )
    assert found["metrics"] == wanted["metrics"]
    assert found["protocol"] == wanted["protocol"]
    assert (pair.root / "indexed" / "split.csv").read_text() == (
        pair.root / "alone-indexed" / "split.csv"
    ).read_text()


def test_a_killed_rank_ends_the_job_and_the_last_checkpoint_goes_on_as_if_nothing_had_been(pair):
    zero, killed = pair.killed
    assert killed == -9
    assert zero != 0
    whole, resumed = pair.ranks("indexed")[0]["weights"], pair.ranks("resumed")[0]["weights"]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    reports = [
        json.loads((pair.root / name / "bundle" / "report.json").read_text())
        for name in ("indexed", "killed")
    ]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert len(reports[1]["training"]["epochs"]) == 3


def test_what_rank_zero_fails_at_ends_the_others(pair):
    zero, other = pair.ranks("failed")
    assert zero == "ArithmeticError('no score')"
    assert other == """RankZeroError("rank zero failed: ArithmeticError('no score')")"""


def test_lightning_is_not_let_wrap_the_batches(pair):
    assert all("use_distributed_sampler=False" in text for text in pair.ranks("wrapped"))


def test_a_cache_of_frozen_stages_is_filled_once_for_all_ranks(pair):
    first, second = (rank["weights"] for rank in pair.ranks("cached"))
    assert near(first, second)
    (folder,) = (pair.root / "cached" / "cache").iterdir()
    keys = [key for shard in folder.glob("*/keys.npy") for key in np.load(shard).tolist()]
    assert len(keys) == len(set(keys)) > 0


def test_a_stage_that_is_unfrozen_later_learns_alike_on_all_ranks(pair):
    first, second = pair.ranks("unfrozen")
    wanted = pair.alone("unfrozen")
    assert near(first["weights"], second["weights"])
    assert near(first["weights"], wanted["weights"])
    sizes = [len(gradient) for gradient in first["gradients"]]
    assert sizes == [len(gradient) for gradient in wanted["gradients"]]
    assert sizes[0] < sizes[-1]
