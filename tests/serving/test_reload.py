import gc
import shutil
import weakref

from small_service import encoded, picture, served_bundle, upload

from vsearch.cli.main import main

KEY = {"X-API-Key": "key"}


def test_reload_serves_what_the_bundle_is_now_and_rollback_what_it_was(served, tmp_path, capsys):
    bundle = served_bundle(tmp_path / "bundle", 20)
    client = served(bundle, api_key="key")
    client.headers.update(KEY)
    assert client.post("/v1/admin/rollback").status_code == 409
    main(["index", "remove", str(bundle), "p3"])
    assert client.get("/v1/items/p3").status_code == 200
    assert client.post("/v1/admin/reload").json()["items"] == 19
    assert client.get("/v1/items/p3").status_code == 404
    assert upload(client, encoded(picture(3)), k=1).json()["hits"][0]["id"] != "p3"
    assert client.post("/v1/admin/rollback").json()["items"] == 20
    assert upload(client, encoded(picture(3)), k=1).json()["hits"][0]["id"] == "p3"
    assert client.post("/v1/admin/rollback").json()["items"] == 19


def test_a_damaged_bundle_is_not_swapped_in(served, tmp_path):
    bundle = served_bundle(tmp_path / "bundle", 20)
    client = served(bundle, api_key="key")
    client.headers.update(KEY)
    (bundle / "index.faiss").write_bytes(b"broken")
    reply = client.post("/v1/admin/reload")
    assert (reply.status_code, "index.faiss" in reply.json()["detail"]) == (409, True)
    assert client.get("/v1/items/p3").status_code == 200
    shutil.rmtree(bundle)
    assert client.post("/v1/admin/reload").status_code == 409
    assert upload(client, encoded(picture(3)), k=1).json()["hits"][0]["id"] == "p3"
    assert 'vsearch_reloads_total{result="refused"} 2.0' in client.get("/metrics").text


def test_the_reply_to_a_reload_has_the_new_fingerprint(served, tmp_path):
    one, two = (
        served_bundle(tmp_path / name / "bundle", 12, seed) for name, seed in (("1", 1), ("2", 2))
    )
    (tmp_path / "now").symlink_to(one)
    client = served(tmp_path / "now", api_key="key")
    client.headers.update(KEY)
    before = client.get("/v1/info").headers["x-vsearch-fingerprint"]
    (tmp_path / "now").unlink()
    (tmp_path / "now").symlink_to(two)
    reply = client.post("/v1/admin/reload")
    assert before != reply.headers["x-vsearch-fingerprint"] == reply.json()["fingerprint"]
    assert client.post("/v1/admin/rollback").headers["x-vsearch-fingerprint"] == before


def test_only_the_bundle_before_is_kept(served, tmp_path):
    client = served(served_bundle(tmp_path / "bundle", 12), api_key="key")
    client.headers.update(KEY)
    first = weakref.ref(client.app.state.service.now.runtime)
    gc.freeze()  # as `serve` does
    upload(client, encoded(picture(3)))
    client.post("/v1/admin/reload")
    assert first() is not None
    client.post("/v1/admin/reload")
    assert first() is None
