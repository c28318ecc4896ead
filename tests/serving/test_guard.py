import asyncio
import errno
import json
import logging
import socket
import tempfile
import threading
import time

import httpx
import pytest
from process import read
from small_service import encoded, listening, picture, upload

from vsearch.serving.api import guard
from vsearch.serving.api.app import create_app
from vsearch.serving.api.logs import JsonLines
from vsearch.serving.api.settings import Settings
from vsearch.serving.client import calls


def test_a_long_body_is_413_whatever_it_says(served):
    client = served(max_body_bytes=20_000)
    reply = upload(client, bytes(30_000))
    assert (reply.status_code, reply.headers["content-type"]) == (413, "application/problem+json")
    chunks = (bytes(1000) for _ in range(100))  # no Content-Length
    reply = client.post("/v1/search", content=chunks, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["status"]) == (413, 413)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    chunks = (part for part in [head, *[bytes(1000)] * 100])
    assert client.post("/v1/search/upload", content=chunks, headers=form).status_code == 413
    for length in ("99999999999999999999999999", "20001"):
        assert (
            client.post("/v1/search", content=b"", headers={"Content-Length": length}).status_code
            == 413
        )
    assert upload(client, encoded(picture(1))).status_code == 200


def test_json_has_a_shorter_limit_of_its_own(served):
    client = served(max_json_bytes=1000)
    long, json_type = b'{"a":[' + b"[]," * 1000 + b"[]]}", {"Content-Type": "application/json"}
    for content in (long, iter([long])):
        reply = client.post("/v1/search", content=content, headers=json_type)
        assert (reply.status_code, "1,000 bytes" in reply.json()["detail"]) == (413, True)
    for kind in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert client.post("/v1/search/upload", content=long, headers=kind).status_code == 413
    assert upload(client, encoded(picture(1, 300, 300))).status_code == 200


def test_headers_of_every_reply(client):
    for reply in (
        client.get("/v1/info"),
        client.get("/nope"),
        client.post("/v1/search"),
        client.get("/docs"),
    ):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert len(reply.headers["x-vsearch-fingerprint"]) == 64
        assert len(reply.headers["x-request-id"]) == 32
    assert "default-src 'none'" in client.get("/v1/info").headers["content-security-policy"]


@pytest.mark.parametrize(
    "prefix", ["", "/shop"]
)  # of a proxy that strips the root path, and of one that doesn't
def test_below_a_root_path(served, prefix):
    client = served(root_path="/shop", api_key="key", request_s=1e-9)
    client.headers["X-API-Key"] = "key"
    assert (
        client.post(f"{prefix}/v1/admin/rollback").status_code == 409
    )  # not 503: it may take its time
    client.app.state.service.settings.request_s = 30
    assert "default-src 'self'" in client.get(f"{prefix}/docs").headers["content-security-policy"]
    url = client.get(f"{prefix}/v1/items/p1").json()["image_url"]
    assert url == "/shop/v1/items/p1/image"
    found = client.get(f"{prefix}/v1/items/p1/similar", params={"k": 1}).json()["hits"][0]
    assert found["thumbnail_url"] == f"/shop/v1/items/{found['id']}/image"
    for path in (url, calls.image(url).path):
        assert client.get(path).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("given", "kept"), [("a-1.B_2", True), ("x" * 65, False), ("a b", False), ('"}', False)]
)
def test_request_ids(client, given, kept):
    assert (
        client.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"] == given
    ) is kept


def test_logs_have_no_content(client, caplog):
    with caplog.at_level(logging.INFO, "vsearch.access"):
        upload(client, b"\x89PNG\r\n\x1a\n secret pixels", where="secret = filter")
        client.get("/v1/items/secret", headers={"X-API-Key": "secret"})
    lines = [
        json.loads(JsonLines().format(record))
        for record in caplog.records
        if record.name == "vsearch.access"
    ]
    assert [(one["route"], one["status"]) for one in lines] == [
        ("/v1/search/upload", 422),
        ("/v1/items/{id}", 404),
    ]
    assert {"time", "level", "request_id", "ms", "bytes_in", "method"} <= {*lines[0]}
    assert "secret" not in json.dumps(lines)


def test_an_error_of_ours_is_a_500_that_tells_nothing(served, monkeypatch, caplog):
    client = served()
    monkeypatch.setattr("vsearch.serving.api.status_routes.describe", lambda opened: 1 / 0)
    reply = client.get("/v1/info")
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json")
    assert "Zero" not in reply.text
    assert "ZeroDivisionError" in caplog.text


def slow_service(made, monkeypatch, seconds: float, **settings: object):
    app = create_app(made, Settings(**settings))
    network = app.state.service.now.runtime.network
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda photos: (time.sleep(seconds), forward(photos))[1]
    )
    return app


def together(app, count: int) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            files = {"photo": ("a", encoded(picture(1)))}
            return await asyncio.gather(
                *(client.post("/v1/search/upload", files=files) for _ in range(count))
            )

    try:
        return asyncio.run(ask())
    finally:
        app.state.service.close()


def test_photos_that_come_together_are_embedded_together(made, monkeypatch):
    app = slow_service(made, monkeypatch, 0.1, max_batch=8)
    sizes = []
    app.state.service.batcher.on_batch = sizes.append
    replies = together(app, 17)
    assert [reply.status_code for reply in replies] == [200] * 17
    assert len({reply.json()["hits"][0]["id"] for reply in replies}) == 1
    assert (sum(sizes), max(sizes)) == (17, 8)
    assert len(sizes) <= 5


def test_more_than_may_wait_get_503_and_the_others_an_answer(made, monkeypatch):
    replies = together(
        slow_service(made, monkeypatch, 0.1, max_batch=1, max_waiting=4, retry_after_s=7), 20
    )
    codes = [reply.status_code for reply in replies]
    assert {*codes} == {200, 503}
    assert 4 <= codes.count(200) <= 7
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert (refused.headers["retry-after"], refused.headers["content-type"]) == (
        "7",
        "application/problem+json",
    )


def test_more_than_are_taken_in_get_503(made, monkeypatch):
    codes = [
        reply.status_code
        for reply in together(slow_service(made, monkeypatch, 0.1, max_requests=3), 10)
    ]
    assert (codes.count(200), codes.count(503)) == (3, 7)


def test_work_that_takes_too_long_is_given_up(made, monkeypatch):
    (reply,) = together(slow_service(made, monkeypatch, 0.5, request_s=0.2), 1)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert "more than 0.2 s" in reply.json()["detail"]


async def stuck():
    yield b"--x\r\n"
    await asyncio.sleep(5)


def asked(app, ask):
    """What a coroutine returns that is given a client of an app."""

    async def run():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as client:
            return await ask(client)

    try:
        return asyncio.run(run())
    finally:
        app.state.service.close()


def begun(client: httpx.AsyncClient):
    """An upload whose body never ends."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    return client.post("/v1/search/upload", content=stuck(), headers=form)


@pytest.fixture
def hasty(monkeypatch):
    """The rest of a body is not waited for: httpx's transport returns once all is over."""
    monkeypatch.setattr(guard, "READ_OFF_S", 0.1)


@pytest.mark.usefixtures("hasty")
def test_a_body_that_does_not_come_is_given_up(made):
    reply = asked(create_app(made, Settings(body_s=0.2)), begun)
    assert (reply.status_code, reply.headers["connection"]) == (408, "close")


def test_a_full_disk_is_no_mistake_of_who_uploads(client, monkeypatch, caplog):
    def full(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    large = encoded(picture(1)) + bytes(2_000_000)  # not kept in memory
    with monkeypatch.context() as patch:
        patch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
        reply = upload(client, large)
    assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json")
    assert "no room" in reply.json()["detail"]
    assert int(reply.headers["retry-after"]) > 0
    (said,) = [one.message for one in caplog.records if one.levelname == "ERROR"]
    assert "No space left on device" in said
    assert upload(client, large).status_code == 200


@pytest.mark.parametrize("stuck", ["uploads", "thumbnails"])
def test_slow_uploads_do_not_stop_thumbnails_nor_the_other_way_round(made, monkeypatch, stuck):
    may = threading.Event()
    at = {"uploads": "steps.decode", "thumbnails": "item_routes.thumbnail"}[stuck]
    monkeypatch.setattr(f"vsearch.serving.api.{at}", lambda *_: may.wait(20))
    app = create_app(made, Settings(decode_threads=1, thumbnail_threads=1))

    async def ask(client: httpx.AsyncClient) -> int:
        def upload():
            return client.post("/v1/search/upload", files={"photo": encoded(picture(1))})

        def thumbnail():
            return client.get("/v1/items/p1/image")

        slow, quick = (upload, thumbnail) if stuck == "uploads" else (thumbnail, upload)
        waiting = [asyncio.create_task(slow()) for _ in range(4)]
        await asyncio.sleep(0.2)
        reply = await asyncio.wait_for(quick(), 10)
        for task in waiting:
            task.cancel()
        return reply.status_code

    try:
        assert asked(app, ask) == 200
    finally:
        may.set()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("settings", "status"), [({"api_key": "key"}, 401), ({"rate_per_minute": 1}, 429)]
)
def test_nobody_waits_for_the_body_of_who_is_not_let_in(made, settings, status):
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        await client.get("/v1/info")
        return await begun(client)

    start = time.perf_counter()
    reply = asked(create_app(made, Settings(**settings)), ask)
    assert (reply.status_code, time.perf_counter() - start < 4) == (status, True)


FORM = "Content-Type: multipart/form-data; boundary=x\r\n"


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST /v1/search/upload", FORM, 401),
        ("POST /v1/search/upload", f"X-API-Key: key\r\n{FORM}", 413),
        ("POST /v1/search", "X-API-Key: key\r\nContent-Type: application/json\r\n", 413),
        ("POST /nowhere", "X-API-Key: key\r\n", 413),
        ("DELETE /readyz", "", 413),
    ],
)
def test_who_sends_all_of_a_body_before_reading_gets_the_early_answer(
    made, monkeypatch, request_line, headers, status
):
    monkeypatch.setenv("VSEARCH_API_KEY", "key")
    monkeypatch.setenv("VSEARCH_MAX_BODY_BYTES", "4000000")
    length = 7_000_000  # far more than the system keeps
    head = f"{request_line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n"
    with listening(made) as url, socket.create_connection(address_of(url), 20) as client:
        client.sendall(head.encode() + bytes(length))
        reply = read(client)
    assert int(reply.split()[1]) == status
    assert b"connection: close" in reply.lower()


def test_the_rest_of_a_body_is_read_off_for_some_bytes_and_some_seconds(made, monkeypatch):
    monkeypatch.setenv("VSEARCH_MAX_BODY_BYTES", "100000")
    monkeypatch.setattr(guard, "READ_OFF_S", 1)
    head = b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"
    with listening(made) as url:
        with socket.create_connection(address_of(url), 20) as slow:
            start = time.perf_counter()
            slow.sendall(head)
            assert b" 413 " in slow.recv(100)  # at once, and the connection is ended a second later
            read(slow)
            assert 0.9 < time.perf_counter() - start < 5
        with socket.create_connection(address_of(url), 20) as endless:
            endless.sendall(head)
            with pytest.raises(ConnectionError):
                endless.sendall(bytes(99_999_999))


def address_of(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rpartition(":")[2])


def test_probes_are_answered_however_much_is_in_work(made):
    async def ask(client: httpx.AsyncClient) -> list[int]:
        waiting = [asyncio.create_task(begun(client)) for _ in range(3)]
        await asyncio.sleep(0.1)
        codes = [
            (await client.get(path)).status_code for path in ("/v1/info", "/healthz", "/readyz")
        ]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return codes

    assert asked(create_app(made, Settings(max_requests=3)), ask) == [503, 200, 200]
