import socket
from contextlib import suppress

import httpx
from adversarial.requests import hostile
from process import read
from small_service import encoded, listening, picture

from vsearch.serving.api import guard


def test_nothing_that_is_sent_breaks_the_service(made, monkeypatch):
    monkeypatch.setenv("VSEARCH_API_KEY", "key")
    monkeypatch.setenv("VSEARCH_BODY_S", "0.2")
    monkeypatch.setattr(guard, "READ_OFF_S", 0.1)
    bad, statuses = {}, set()
    requests = hostile()
    assert len(requests) > 800
    with listening(made) as url:
        port = int(url.rpartition(":")[2])
        for name, request in requests.items():
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                with suppress(ConnectionError):  # it may be answered before all was sent
                    connection.sendall(request())
                reply = read(connection)
            status = int(reply.split()[1]) if reply else 0
            statuses.add(status)
            if status >= 500 or b"\nx-evil" in reply.lower():
                bad[name] = reply[:200]
        photo = {"photo": ("a", encoded(picture(3)))}
        good = httpx.post(f"{url}/v1/search/upload", files=photo, headers={"X-API-Key": "key"})
    assert not bad
    assert {400, 404, 413, 422} <= statuses
    assert good.json()["hits"][0]["id"] == "p3"
