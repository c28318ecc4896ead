import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
import yaml
from small_service import listening

from vsearch.cli.commands import ui
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
    sizes = [re.search(r"size=(\d+[mg])", folder)[1] for folder in service["tmpfs"]]
    limit = re.search(r"(\d+[mg])\W*$", service["mem_limit"])[1]
    assert sum(map(bytes_of, sizes)) < bytes_of(limit)
    assert service["pids_limit"] >= 1024
    own = tuple(
        f"{volume}:" for volume in COMPOSE["volumes"]
    )  # a store's own data, and nothing of the host's
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            assert volume["read_only"] is True
            assert volume["bind"] == {"create_host_path": False}
        else:
            assert volume.endswith(":ro") or volume.startswith(own)
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


def test_the_images_are_built_in_layers_without_pytorch():
    assert "# syntax=" not in DOCKERFILE  # BuildKit would ask a registry for it
    order = list(STAGES)
    assert order.index("page") < order.index("build-service")  # the old builder makes all above
    for stage in ("page", "service"):
        last = re.findall(r"^(?:COPY|RUN) .*", STAGES[stage], re.M)[-1]
        assert last.startswith("COPY --from=vsearch")  # a changed line of it installs nothing else
    assert "vsearch" not in "".join(re.findall(r"^COPY .*", STAGES["build"], re.M))


def wanted(names):
    command = [sys.executable, "deploy/requirements.py", names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {re.split(r"[\[<>=]", line)[0] for line in done.stdout.split()}


def test_what_the_images_install():
    service = wanted("serving,serve")
    assert service >= {"faiss-cpu", "onnxruntime", "fastapi", "uvicorn"}
    assert not service & {"torch", "torchvision", "lightning", "pandas", "streamlit", "scipy"}
    assert wanted("ui") == {"streamlit", "httpx", "pydantic", "tenacity"}
    assert wanted("serving,serve,pgvector") - service == {"pgvector", "psycopg"}
    assert wanted("serving,serve,milvus") - service == {"pymilvus"}
    assert wanted("serving,serve,pytorch") - service >= {"torch", "torchvision"}


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
    body, photo = map(int, re.findall(r"client_max_body_size (\d+);", NGINX))
    assert body == Settings().max_body_bytes  # nginx refuses, and the service need not
    page = argparse.ArgumentParser()
    ui.add_arguments(page)
    assert photo > page.parse_args([]).max_upload_mb * 2**20
    (bodies,) = map(int, re.findall(r"limit_conn bodies (\d+);", NGINX))
    for name in ("proxy", "service"):
        (tmpfs,) = COMPOSE["services"][name]["tmpfs"]
        assert bytes_of(tmpfs.partition("size=")[2]) > bodies * body
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", NGINX)
    assert int(seconds) > Settings().request_s
    grace = int(COMPOSE["services"]["service"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().grace_s


@contextlib.contextmanager
def nginx(folder, service="http://127.0.0.1:9", page="http://127.0.0.1:9"):
    """The proxy as a process, with a second for headers; nothing listens at port 9."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here: apt-get install nginx-light (.ci/run does)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = NGINX.replace("http://service:8000", service).replace("http://page:8501", page)
    text = text.replace("/tmp/", f"{folder}/").replace("listen 8080", f"listen 127.0.0.1:{port}")
    if os.geteuid() == 0:  # else its workers can't enter the folder
        text = f"user root;\n{text}"
    (folder / "nginx.conf").write_text(
        text.replace("client_header_timeout 5s", "client_header_timeout 1s")
    )
    command = ["nginx", "-c", str(folder / "nginx.conf")]
    done = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def proxy(tmp_path):
    """The proxy with nothing behind it."""
    with nginx(tmp_path) as port:
        yield port


@pytest.fixture
def echoes(tmp_path):
    """A client of the proxy, behind which a server tells the headers that it was sent."""
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with nginx(tmp_path, url, url) as port, httpx.Client() as client:
            client.base_url = f"http://127.0.0.1:{port}"
            yield client
        server.shutdown()


class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        told = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_PUT = do_GET


@pytest.mark.parametrize("path", ["/page/", "/page/_stcore/stream", "/v1/info", "/docs"])
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "shop.example", "shop.example:8443"])
def test_what_is_behind_the_proxy_sees_the_name_it_was_called_by(echoes, path, host):
    seen = echoes.get(path, headers={"Host": host, "X-Forwarded-For": "1.2.3.4"}).json()
    assert (seen["host"], seen["x-forwarded-for"]) == (host, "127.0.0.1")
    assert seen["x-forwarded-proto"] == "http"


def test_only_the_page_has_a_websocket(echoes):
    wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://shop.example"}
    wanted["Host"] = "shop.example"
    page = echoes.get("/page/_stcore/stream", headers=wanted).json()
    assert (page["upgrade"], page["connection"]) == ("websocket", "upgrade")
    service = echoes.get("/v1/info", headers=wanted).json()
    assert not {"upgrade", "connection"} & set(service)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("shop.example", "http://shop.example", 200),
        ("shop.example", "https://shop.example", 200),
        ("Shop.Example", "https://shop.example", 200),
        ("shop.example:8443", "https://shop.example:8443", 200),
        ("[::1]:8080", "http://[::1]:8080", 200),
        ("shop.example", None, 200),
        ("shop.example", "http://elsewhere.example", 403),
        ("shop.example", "http://shop.example:8080", 403),
        ("shop.example", "http://notshop.example", 403),
        ("shop.example", "http://shop.example.elsewhere.example", 403),
        ("shop.example", "http://elsewhere.example/ http://shop.example", 403),
        ("shop.example", "ftp://shop.example", 403),
        ("shopXexample", "http://shop.example", 403),
        ("shop.example", "null", 403),
    ],
)
def test_the_page_is_for_no_other_site(echoes, method, host, origin, status):
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    reply = echoes.request(method, "/page/_stcore/stream", headers=headers)
    assert reply.status_code == status
    if status == 403:
        assert refusal(reply) == (403, None)
    assert echoes.request(method, "/v1/info", headers=headers).status_code == 200


def test_the_services_early_refusal_comes_through_the_proxy(made, monkeypatch, tmp_path):
    monkeypatch.setenv("VSEARCH_API_KEY", "key")
    with listening(made) as url, nginx(tmp_path, url) as port:
        files = {"photo": bytes(5_000_000)}
        address = f"http://127.0.0.1:{port}/v1/search/upload"
        codes = {httpx.post(address, files=files).status_code for _ in range(20)}
    assert codes == {401}


def test_streamlit_asks_no_other_host_than_the_one_that_is_pinned():
    (pinned,) = COMPOSE["services"]["page"]["extra_hosts"]
    host, _, address = pinned.partition(":")
    assert address == "127.0.0.1"
    text = Path(pytest.importorskip("streamlit.net_util").__file__).read_text()
    assert set(re.findall(r'_CHECK_IP\w*: Final = "https?://([^"/]+)"', text)) == {host}


def refusal(reply):
    """The status of a problem that the client understands, and the seconds that it asks to wait."""
    assert reply.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate_json(reply.content).status == reply.status_code
    return reply.status_code, reply.headers.get("retry-after")


def test_the_proxy_tells_who_has_too_many_connections_when_to_come_again(tmp_path):
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        port = stack.enter_context(nginx(tmp_path, url))
        for _ in range(64):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            held.sendall(b"GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.5)
        assert refusal(httpx.get(f"http://127.0.0.1:{port}/v1/info")) == (429, "1")


def test_one_address_can_not_take_the_room_for_all_bodies(proxy):
    held = [socket.create_connection(("127.0.0.1", proxy), 5) for _ in range(16)]
    for client in held:
        client.sendall(b"POST /v1/embed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    time.sleep(0.5)
    address = f"http://127.0.0.1:{proxy}/v1/embed"
    assert refusal(httpx.post(address, content=b"body")) == (429, "1")
    assert refusal(httpx.get(address)) == (503, "5")
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
        assert refusal(client.get("/metrics")) == (404, None)
        assert refusal(client.post("/v1/admin/reload")) == (404, None)
        assert refusal(client.post("/v1/admin/rollback", content=b"body")) == (404, None)
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
