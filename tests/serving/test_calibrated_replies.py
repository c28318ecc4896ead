import numpy as np
import pytest
from small_service import encoded, picture, served_bundle, upload

from vsearch.evaluation.calibration import file_bytes, fit


def calibrated(threshold: float, n: int = 20) -> bytes:
    """What a fit leaves whose held-out queries were right from a score on, and wrong below."""
    scores = np.concatenate([np.full(n, threshold), np.full(n, threshold - 0.5)])[:, None]
    return file_bytes(fit(scores, scores >= threshold))


@pytest.mark.parametrize(("threshold", "good"), [(0.9, True), (1.5, False)])
def test_a_reply_says_whether_there_is_a_good_match(served, tmp_path, threshold, good):
    client = served(served_bundle(tmp_path / "bundle", calibration=calibrated(threshold)))
    reply = upload(client, encoded(picture(3)), k=3).json()
    assert reply["good_match"] is good
    said = "No good match: the best hit is 100.0 % similar; a good match is 150.0 % or more."
    assert reply["message"] == (None if good else said)
    assert all(0 < hit["probability"] < 1 for hit in reply["hits"])
    assert client.get("/v1/info").json()["calibration"]["threshold"] == pytest.approx(threshold)


def test_too_few_held_out_queries_promise_nothing(served, tmp_path):
    client = served(served_bundle(tmp_path / "bundle", calibration=calibrated(0.9, n=3)))
    reply = upload(client, encoded(picture(3)), k=3).json()
    assert reply["good_match"] is None
    assert reply["message"] is None


def test_the_calibration_is_of_whole_new_photos_among_all_items(served, tmp_path):
    client = served(served_bundle(tmp_path / "bundle", calibration=calibrated(0.9)))
    first, second, third = (client.get("/v1/gallery").json()["items"][i]["id"] for i in range(3))

    def judged(**wanted: object) -> bool:
        reply = client.post("/v1/search", json={"k": 2, **wanted}).json()
        assert {hit["probability"] is None for hit in reply["hits"]} == {
            reply["good_match"] is None
        }
        return reply["good_match"] is not None

    embedding = upload(client, encoded(picture(3)), "/v1/embed").json()["embedding"]
    assert judged(embedding=embedding)
    assert not judged(embedding=embedding, where="price < 20")
    assert not judged(embedding=embedding, expand=5)
    assert not judged(positive=[{"id": first}])
    assert client.get(f"/v1/items/{first}/similar").json()["good_match"] is None
    for form in ({"where": "price < 20"}, {"x": 0, "y": 0, "w": 9, "h": 9}):
        assert upload(client, encoded(picture(3)), **form).json()["good_match"] is None
    assert not judged(positive=[{"id": first}, {"id": second}])
    assert not judged(positive=[{"id": first}], negative=[{"id": third}])
