import pytest
from small import fitted, put_in, take_out

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.rebuild import due


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("HNSW8", True),
        ("SQ8,RFlat", True),
        ("SQ4,Refine(SQ8)", True),
        ("IVF4,Flat", False),
        ("IVF4_HNSW4,Flat", False),
    ],
)
def test_a_removal_that_each_reader_would_pay_for_is_folded_at_once(
    tmp_path, monkeypatch, factory, told
):
    monkeypatch.setattr("vsearch.bundle.generations.rebuild.LINKED_ROWS", 35)
    bundle = fitted(tmp_path / "bundle", factory)
    put_in(bundle, 40, 1)
    assert not due(open_live(bundle))  # what is added costs what it always costs
    put_in(bundle, 40, 1, seed=2)  # takes out what came since, not the generation's
    assert not due(open_live(bundle))
    take_out(bundle, "p3")
    assert due(open_live(bundle)) == told
    monkeypatch.setattr("vsearch.bundle.generations.rebuild.LINKED_ROWS", 40)
    assert not due(open_live(bundle))  # few rows take no time
