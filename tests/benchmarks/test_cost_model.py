import sys

import pytest

from benchmarks.cost_model import MEASURED, MEASURED_AT, cost, embed_hours, main


def kind(spec):
    return next(one for one in MEASURED if one.spec.startswith(spec))


def test_exact_search_by_hand():
    one = cost(kind("exact"), 100 * MEASURED_AT, 2048, memory_gib=64)
    assert one.memory_bytes == 3_900_000 * 8192
    assert one.machines == 1
    assert one.searches_per_s == pytest.approx(1000 / 290)
    assert cost(kind("exact"), 100 * MEASURED_AT, 1024, memory_gib=64).memory_bytes == one.memory_bytes / 2


def test_shards_are_as_many_as_memory_asks_for_and_searched_side_by_side():
    one = cost(kind("exact"), 8_000_000, 2048, memory_gib=64)  # 65.5 GB into 48 GiB
    assert one.machines == 2
    assert one.searches_per_s == cost(kind("exact"), 4_000_000, 2048, memory_gib=64).searches_per_s


def test_graphs_grow_slowly_and_lists_by_the_root():
    at = [cost(kind("HNSW32"), MEASURED_AT**power, 2048, 1e9).searches_per_s for power in (1, 2)]
    assert at[0] == pytest.approx(2 * at[1])
    at = [cost(kind("IVF,PQ64"), times * MEASURED_AT, 2048, 1e9).searches_per_s for times in (1, 100)]
    assert at[0] == pytest.approx(10 * at[1])


def test_hours():
    assert embed_hours(3_600_000, 100, 10) == 1


def test_the_command_prints_every_size_and_kind(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cost_model"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("| 1,000,000,000 |")]) == 1 + len(MEASURED)
