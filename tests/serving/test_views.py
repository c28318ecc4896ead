from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from small_service import encoded, picture, served_bundle, upload
from tiny import AveragingBackbone

from vsearch.bundle.opening import open_bundle
from vsearch.data.views import Flip
from vsearch.evaluation.calibration import Calibration, file_bytes


@pytest.fixture
def bundle(tmp_path) -> Path:
    backbone = AveragingBackbone()
    backbone.preprocessing = replace(backbone.preprocessing, views=(Flip(),))
    calibration = Calibration(0.5, 0.1, (-1.0, 1.0), (0.25, 0.75), 20, 15)
    return served_bundle(
        tmp_path / "bundle", backbone=backbone, calibration=file_bytes(calibration)
    )


def best(client: TestClient) -> dict:
    return upload(client, encoded(picture(3)), k=1).json()["hits"][0]


def test_uploads_have_all_views_or_one(served: Callable[..., TestClient], bundle):
    calibrated = served(bundle)
    assert best(calibrated)["id"] == "p3"
    assert best(calibrated)["score"] == pytest.approx(1, abs=1e-5)
    assert calibrated.get("/v1/info").json()["calibration"]

    quicker = served(bundle, one_view=True)
    searcher = open_bundle(bundle)
    searcher.runtime.use_one_view()
    (wanted,) = searcher.search([encoded(picture(3))], k=1)
    assert best(quicker)["score"] == pytest.approx(wanted["score"][0].as_py(), abs=1e-5)
    assert best(quicker)["score"] < 0.9999
    assert quicker.get("/v1/info").json()["calibration"] is None  # it was made with all views


def test_what_views_made_is_not_explained(served: Callable[..., TestClient], bundle):
    client = served(bundle)
    assert not client.get("/v1/info").json()["explains"]
    assert upload(client, encoded(picture(3)), "/v1/explain", id="p4").status_code == 501
