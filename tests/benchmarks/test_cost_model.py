import sys

import pytest

from benchmarks.cost_model import KINDS, MEASURED_AT, cost, embed_hours, main, short

PLENTY = 1e9  # GiB


def kind(spec):
    return next(one for one in KINDS if one.spec.startswith(spec))


def test_exact_search_by_hand():
    one = cost(kind("exact"), 100 * MEASURED_AT, 2048, memory_gib=64)
    assert one.memory_bytes == one.disk_bytes == 3_900_000 * 8192
    assert one.machines == 1
    assert one.ms == pytest.approx(97)
    assert one.searches_per_s == pytest.approx(1000 / 97)
    assert one.build_hours == pytest.approx(1700 / 3600)
    assert (
        cost(kind("exact"), 100 * MEASURED_AT, 1024, memory_gib=64).memory_bytes
        == one.memory_bytes / 2
    )


def test_each_search_takes_a_core_on_every_machine():
    one, two = (
        cost(kind("exact"), n, 2048, memory_gib=64) for n in (4_000_000, 8_000_000)
    )  # 65.5 GB into 48 GiB
    assert (one.machines, two.machines) == (1, 2)
    assert two.ms == one.ms
    assert two.searches_per_s == one.searches_per_s / 2


def test_graphs_grow_slowly_and_lists_by_the_root():
    at = [cost(kind("HNSW32"), MEASURED_AT**power, 2048, PLENTY).ms for power in (1, 2)]
    assert at[1] == pytest.approx(2 * at[0])
    at = [cost(kind("IVF"), times * MEASURED_AT, 2048, PLENTY).ms for times in (1, 100)]
    assert at[1] == pytest.approx(10 * at[0])


def test_what_does_not_fit_in_memory_is_read_from_the_disk():
    small, plenty = (cost(kind("PCA128"), 1_000_000, 2048, gib) for gib in (2, PLENTY))
    assert small.machines == plenty.machines == 1
    assert small.ms == pytest.approx(plenty.ms + 3)
    assert plenty.disk_bytes == 1_000_000 * (512 + 272 + 8192)


def test_hours():
    assert embed_hours(3_600_000, 100, 10) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.0714, "0.071"), (5.84, "5.8"), (1443.7, "1,400"), (99.9, "100")]
)
def test_two_digits(value, text):
    assert short(value) == text


def test_the_command_prints_every_size_and_kind(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cost_model"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("| 1,000,000,000 |")]) == 1 + len(KINDS)
