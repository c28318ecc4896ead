import contextlib
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml

from vsearch.serving.api.settings import Settings
from vsearch.serving.messages import Problem

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S))


def bytes_of(text):
    return int(text[:-1]) * {"m": 2**20, "g": 2**30}[text[-1]]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_container_can_write_nowhere_and_gain_nothing(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    (tmpfs,) = service["tmpfs"]
    size, limit = (re.search(r"(\d+[mg])\W*$", text)[1] for text in (tmpfs, service["mem_limit"]))
    assert bytes_of(size) < bytes_of(limit)
    own = tuple(
        f"{volume}:" for volume in COMPOSE["volumes"]
    )  # a store's own data, and nothing of the host's
    assert all(
        volume.endswith(":ro") or volume.startswith(own) for volume in service.get("volumes", [])
    )
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_vector_stores_start_when_asked_for_take_passwords_and_are_open_to_the_service_alone():
    services = COMPOSE["services"]
    for name in ("postgres", "milvus"):
        assert services[name]["profiles"] == [name]
        assert services[name]["networks"] == ["stores"]
    reaching = {
        name for name, service in services.items() if "stores" in service.get("networks", [])
    }
    assert reaching == {"postgres", "milvus", "service"}
    milvus = services["milvus"]
    assert milvus["environment"]["COMMON_SECURITY_AUTHORIZATIONENABLED"] == "true"
    assert "test -n" in milvus["command"][2]  # no password: it doesn't start
    version = tuple(map(int, milvus["image"].rpartition(":v")[2].split(".")))
    assert version >= (2, 6, 10)
    assert milvus["ports"] == ["127.0.0.1:19530:19530"]
    assert "9091" not in str([milvus.get("ports"), milvus.get("expose")])
    assert (
        "PASSWORD:-}" in services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    )  # PostgreSQL refuses none


@pytest.mark.parametrize("stage", ["service", "page"])
def test_each_image_runs_unprivileged_and_is_probed(stage):
    assert "USER 10001" in STAGES[stage]
    assert "HEALTHCHECK" in STAGES[stage]
    assert COMPOSE["services"][stage]["build"]["target"] == stage
    build = STAGES[f"build-{stage}"]
    assert ("torch" in build.replace("PyTorch", "")) == (stage == "service")


def test_the_page_image_installs_what_the_extras_name():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    needed = {*extras["client"], *extras["ui"]} - {"vsearch[client]"}
    assert set(re.findall(r'"(\S+>=\S+)"', STAGES["build-page"])) == needed


def test_no_file_names_a_package_host():
    for text in (DOCKERFILE, (ROOT / "compose.yaml").read_text()):
        assert not re.search(r"https?://(?!127\.0\.0\.1|service:)", text)


def test_the_services_variables_are_settings():
    stores = {"PGUSER", "PGPASSWORD", "MILVUS_TOKEN"}  # theirs, as their own clients call them
    named = set(re.findall(r"\bVSEARCH_(\w+)", DOCKERFILE)) | {
        name.removeprefix("VSEARCH_")
        for name in set(COMPOSE["services"]["service"]["environment"]) - stores
    }
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_nginxs_limits_leave_room_for_the_services_own():
    (body,) = re.findall(r"^    client_max_body_size (\d+)m;", NGINX, re.M)
    assert int(body) * 2**20 >= Settings().max_body_bytes
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", NGINX)
    assert int(seconds) > Settings().request_s
    grace = int(COMPOSE["services"]["service"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().grace_s


@pytest.fixture
def proxy(tmp_path):
    """The proxy as a process, with a second for headers and nothing behind it."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here: apt-get install nginx-light (.ci/run does)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = re.sub(
        r"http://(service|page):\d+", "http://127.0.0.1:9", NGINX
    )  # names of compose's network
    text = text.replace("/tmp/", f"{tmp_path}/").replace("listen 8080", f"listen 127.0.0.1:{port}")
    (tmp_path / "nginx.conf").write_text(
        text.replace("client_header_timeout 5s", "client_header_timeout 1s")
    )
    command = ["nginx", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(10)


def refusal(reply):
    """The status of a problem that the client understands, and the seconds that it asks to wait."""
    assert reply.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate_json(reply.content).status == reply.status_code
    return reply.status_code, reply.headers.get("retry-after")


def test_the_proxy_tells_who_has_too_many_connections_when_to_come_again(proxy):
    held = [socket.create_connection(("127.0.0.1", proxy), 5) for _ in range(64)]
    for client in held:  # a body that does not come; counted once the headers are there
        client.sendall(b"POST /v1/embed HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
    time.sleep(0.5)
    assert refusal(httpx.get(f"http://127.0.0.1:{proxy}/v1/info")) == (429, "1")
    for client in held:
        client.close()


def test_the_proxy_asks_for_addresses_again():
    assert "resolver 127.0.0.11" in NGINX
    assert set(re.findall(r"proxy_pass (\S+);", NGINX)) == {"$service", "$page"}


def test_the_proxy_cuts_off_slow_large_and_private_requests(proxy):
    slow = [socket.create_connection(("127.0.0.1", proxy), 5) for _ in range(300)]
    for client in slow:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    for client in slow:  # a byte now and then earns no more time
        client.sendall(b"a")
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy}") as client:
        assert client.get("/metrics").status_code == 404
        assert client.post("/v1/admin/reload").status_code == 404
        assert refusal(client.post("/v1/embed", content=bytes(11 * 2**20))) == (413, None)
        assert refusal(client.get("/v1/info")) == (503, "5")  # nothing is behind it here
        assert client.get("/").headers["location"].endswith("/page/")
    for client in slow:
        with contextlib.suppress(ConnectionError):
            while client.recv(
                1000
            ):  # b"": closed; a client that is kept ends the test with a timeout
                pass
        client.close()
