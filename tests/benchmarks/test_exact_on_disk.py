import sys

from benchmarks import exact_on_disk


def test_hits_are_those_of_index_flat_l2(monkeypatch, capfd):
    monkeypatch.setattr(
        sys, "argv", ["exact_on_disk", "--vectors", "3000", "--dim", "128", "--queries", "5"]
    )
    exact_on_disk.main()
    out = capfd.readouterr().out
    assert "3,000 x 128: Flat" in out
    assert "resident memory: 0." in out
    assert "in this place: 0 of 50" in out
