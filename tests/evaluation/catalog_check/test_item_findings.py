import numpy as np
import pandas as pd

from vsearch.evaluation.catalog_check.findings import Limits
from vsearch.evaluation.catalog_check.item_findings import id_findings, label_findings


def test_only_photos_that_can_be_read_count():
    items = pd.DataFrame({"label": ["hat", "cap", "hat", "cap", "hat"]})
    good = np.array([0, 1, 3, 4])
    found = [(one.rows, one.value) for one in label_findings(items, good, Limits(min_images=3))]
    assert found == [((1, 3), 2), ((0, 2, 4), 2)]
    assert [one.rows for one in label_findings(items, np.arange(5), Limits(min_images=3))] == [
        (1, 3)
    ]
    assert [*label_findings(items, good, Limits(min_images=2))] == []


def test_shared_ids():
    items = pd.DataFrame({"id": ["a", "b", "a", "c", "b", "a"]})
    assert [(one.rows, one.value) for one in id_findings(items)] == [((0, 2, 5), 3), ((1, 4), 2)]
    assert [*id_findings(items.head(2))] == []
