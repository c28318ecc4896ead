import numpy as np
import pytest
from small_service import encoded, picture, served_bundle, upload
from tiny import AveragingBackbone

from vsearch.cli.main import main


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_the_parts_of_both_photos_sum_to_the_score(served, tmp_path, runtime):
    folder = served_bundle(tmp_path / "bundle", backbone=AveragingBackbone())
    if runtime == "onnx":
        main(["export", str(folder), "--format", "onnx"])
    client = served(folder, runtime=runtime)
    assert client.get("/v1/info").json()["explains"]
    places = client.get("/v1/info").json()["places"]
    reply = upload(client, encoded(picture(3)), "/v1/explain", id="p4").json()
    hits = upload(client, encoded(picture(3)), k=100).json()["hits"]
    assert reply["score"] == pytest.approx(
        next(hit["score"] for hit in hits if hit["id"] == "p4"), abs=1e-4
    )
    for side in ("query", "item"):
        parts = np.array(reply[side]["parts"])
        assert [*parts.shape] == places
        assert parts.size > 1
        assert parts.sum() == pytest.approx(reply["score"], abs=1e-4)


def test_a_network_that_does_more_than_average_says_that_it_cannot(client):
    assert not client.get("/v1/info").json()["explains"]
    assert client.get("/v1/info").json()["places"] is None
    assert upload(client, encoded(picture(3)), "/v1/explain", id="p4").status_code == 501
