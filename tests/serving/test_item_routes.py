import io
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from adversarial.requests import IDS
from PIL import Image
from small_service import encoded, picture, served_bundle, upload
from tiny import AveragingBackbone

from vsearch.serving.api.served_bundle import ServedBundle


def test_an_item(client):
    assert client.get("/v1/items/p4").json() == {
        "id": "p4",
        "label": "l1",
        "metadata": {"price": 4.0, "colour": "red"},
        "image_url": "/v1/items/p4/image",
    }
    assert client.get("/v1/items/p6").json()["metadata"]["colour"] is None


@pytest.mark.parametrize("written", ["p/9", "p%2F9"])
def test_an_id_with_a_slash(client, written):
    assert client.get(f"/v1/items/{written}").json()["id"] == "p/9"
    assert client.get(f"/v1/items/{written}").json()["image_url"] == "/v1/items/p%2F9/image"
    assert client.get(f"/v1/items/{written}/image").status_code == 200
    assert "p/9" not in [
        hit["id"] for hit in client.get(f"/v1/items/{written}/similar?k=30").json()["hits"]
    ]


def test_what_is_similar_is_what_a_search_by_id_finds(client):
    found = client.get("/v1/items/p4/similar", params={"k": 3, "where": "price > 8"}).json()["hits"]
    assert (
        found
        == client.post(
            "/v1/search", json={"positive": [{"id": "p4"}], "k": 3, "where": "price > 8"}
        ).json()["hits"]
    )


def test_a_thumbnail_is_small_and_a_jpeg(client):
    reply = client.get("/v1/items/p4/image", params={"size": 16})
    photo = Image.open(io.BytesIO(reply.content))
    assert (photo.format, max(photo.size), reply.headers["content-type"]) == (
        "JPEG",
        16,
        "image/jpeg",
    )
    assert "max-age" in reply.headers["cache-control"]
    assert client.get("/v1/items/p4/image", params={"size": 5}).status_code == 422


def test_a_photo_that_is_gone_says_nothing_of_its_path(served, tmp_path):
    client = served(served_bundle(tmp_path / "bundle", 12))
    (tmp_path / "photos" / "4.png").unlink()
    reply = client.get("/v1/items/p4/image")
    assert reply.status_code == 404
    assert str(tmp_path) not in reply.text


def test_hostile_ids_are_unknown_ids(client):
    assert len(IDS) >= 120
    bad = {}
    for id in IDS:
        for path in ("/v1/items/{}", "/v1/items/{}/image"):
            reply = client.get(path.format(quote(id, safe="")))
            if (reply.status_code, reply.headers["content-type"]) != (
                404,
                "application/problem+json",
            ):
                bad[id, path] = reply.status_code
        reply = client.post("/v1/search", json={"positive": [{"id": id}]})
        if reply.status_code not in (404, 422):
            bad[id, "search"] = reply.status_code
    assert not bad
    assert client.get("/v1/items/p1").status_code == 200


def test_a_box_of_the_catalog_is_cut_out(served, tmp_path):
    client = served(
        served_bundle(tmp_path / "bundle", 12, boxes=[(0, 0, 14, 10), *[(None,) * 4] * 11])
    )
    small, whole = (
        Image.open(io.BytesIO(client.get(f"/v1/items/p{i}/image").content)).size for i in (0, 1)
    )
    assert (small, whole) == ((14, 10), (14, 20))
    assert {*client.get("/v1/items/p0").json()["metadata"]} == {"price", "colour"}


def test_photos_that_are_not_there_are_told_of_at_the_start(served, tmp_path, caplog):
    bundle = served_bundle(tmp_path / "bundle", 60)
    served(bundle)
    assert "photos were found" not in caplog.text
    (tmp_path / "photos").rename(tmp_path / "moved")
    served(bundle)
    first = tmp_path / "photos" / "0.png"
    assert (
        f"only 0 of 20 items' photos were found; {first} is missing: name their present"
        in caplog.text
    )
    caplog.clear()
    client = served(bundle, photos_root=tmp_path / "moved")
    assert "photos were found" not in caplog.text
    assert client.get("/v1/items/p0/image").status_code == 200


@pytest.fixture
def hostile_paths(tmp_path) -> list[Path]:
    """Items' paths that are no photos below tmp_path / photos."""
    photos = tmp_path / "photos"
    photos.mkdir(exist_ok=True)
    (tmp_path / "photos-too").mkdir()
    for secret in (tmp_path / "secret.png", tmp_path / "photos-too" / "secret.png"):
        picture(1).save(secret)
    os.mkfifo(photos / "fifo.png")
    (photos / "out.png").symlink_to(tmp_path / "secret.png")
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / "circle.png").symlink_to(photos / "circle.png")
    (photos / "above").symlink_to(tmp_path)
    inside = ("fifo.png", "out.png", "zero.png", "circle.png", "../secret.png", "a\0b")
    return [
        *[photos / name for name in inside],
        photos / "above" / "secret.png",
        photos / ".." / "photos-too" / "secret.png",
        tmp_path / "secret.png",
        photos,
        Path("/dev/zero"),
        Path("/dev/stdin"),
        Path("/proc/self/environ"),
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_only_regular_files_below_the_root_are_opened(
    served, tmp_path, hostile_paths, monkeypatch, caplog
):
    bundle = served_bundle(
        tmp_path / "bundle", len(hostile_paths) + 1, backbone=AveragingBackbone()
    )
    (tmp_path / "photos" / "inside.png").symlink_to(tmp_path / "photos" / "0.png")
    paths = [tmp_path / "photos" / "inside.png", *hostile_paths]
    monkeypatch.setattr(ServedBundle, "photo", lambda self, row: paths[row])
    client = served(bundle, photos_root=tmp_path / "photos", decode_threads=1, thumbnail_threads=1)
    assert f"only 1 of {len(paths)} items' photos were found" in caplog.text

    ids = [item["id"] for item in client.get("/v1/gallery?limit=100").json()["items"]]
    for id in ids[1:]:
        shown = client.get(f"/v1/items/{quote(id, safe='')}/image")
        explained = upload(client, encoded(picture(3)), "/v1/explain", id=id)
        for reply in (shown, explained):
            assert reply.status_code == 404
            assert reply.headers["content-type"] == "application/problem+json"
            assert str(tmp_path) not in reply.text
    # the threads are still there, and a link to a photo inside is followed
    assert client.get(f"/v1/items/{ids[0]}/image").status_code == 200
    assert upload(client, encoded(picture(3)), "/v1/explain", id=ids[0]).status_code == 200


def test_photos_of_items_that_were_added_from_another_folder_are_below_a_named_one(
    served, tmp_path, monkeypatch, caplog
):
    bundle = served_bundle(tmp_path / "bundle", 2)
    elsewhere = tmp_path / "elsewhere" / "1.png"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((tmp_path / "photos" / "1.png").read_bytes())
    paths = [tmp_path / "photos" / "0.png", elsewhere]
    monkeypatch.setattr(ServedBundle, "photo", lambda self, row: paths[row])
    refusing = served(bundle, photos_root=tmp_path / "photos")
    ids = [item["id"] for item in refusing.get("/v1/gallery").json()["items"]]
    assert refusing.get(f"/v1/items/{ids[1]}/image").status_code == 404
    assert "--photo-folders" in caplog.text

    taking = served(bundle, photos_root=tmp_path / "photos", photo_folders=str(elsewhere.parent))
    for id in ids:
        assert taking.get(f"/v1/items/{id}/image").status_code == 200


def test_photos_whose_paths_can_not_be_looked_at_end_nothing(made, served, monkeypatch, caplog):
    """As with a folder that the service's user may not enter."""
    monkeypatch.setattr(ServedBundle, "photo", lambda self, position: Path("x" * 300))
    client = served(made)
    assert "only 0 of 30 items' photos were found" in caplog.text
    assert client.get("/v1/items/p0/image").status_code == 404
