import pytest
from fastapi.testclient import TestClient
from small_service import encoded, picture, upload
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from vsearch.serving.api.access import Rate
from vsearch.serving.api.server import serve

PATHS = ["/v1/info", "/v1/items/p1", "/v1/items/p1/image", "/v1/items/p1/similar"]


def test_without_a_key_in_the_settings_all_is_open_and_admin_is_absent(client):
    assert [client.get(path).status_code for path in PATHS] == [200] * 4
    for path in ("/v1/admin/reload", "/v1/admin/rollback"):
        assert client.post(path).status_code == 404
        assert path not in client.get("/openapi.json").json()["paths"]


def test_with_a_key_nothing_is_open_but_probes(served):
    client = served(api_key="one, two")
    assert [client.get(path).status_code for path in PATHS] == [401] * 4
    assert upload(client, encoded(picture(1))).status_code == 401
    assert client.post("/v1/search", json={"positive": [{"id": "p1"}]}).status_code == 401
    assert client.post("/v1/admin/reload").status_code == 401
    assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [
        200
    ] * 3
    reply = client.get("/v1/info", headers={"X-API-Key": "three"})
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("root_path", ["/shop", "/shop/", "/v1"])
def test_a_root_path_does_not_lead_around_the_keys(served, root_path):
    client = served(api_key="one", admin_key="boss", root_path=root_path)
    for prefix in ("", root_path.rstrip("/"), "/"):
        assert client.get(f"{prefix}/v1/info").status_code in (401, 404)
        assert client.post(
            f"{prefix}/v1/admin/rollback", headers={"X-API-Key": "one"}
        ).status_code in (401, 404)
    assert (
        client.get(f"{root_path.rstrip('/')}/v1/info", headers={"X-API-Key": "one"}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": "one"}, {"X-API-Key": "two"}, {"Authorization": "Bearer two"}]
)
def test_each_key_opens(served, headers):
    client = served(api_key="one, two")
    assert client.get("/v1/info", headers=headers).status_code == 200
    assert client.post("/v1/admin/rollback", headers=headers).status_code == 409


def test_an_admin_key_of_its_own(served):
    client = served(api_key="one", admin_key="boss")
    assert client.post("/v1/admin/rollback", headers={"X-API-Key": "one"}).status_code == 401
    assert client.post("/v1/admin/rollback", headers={"X-API-Key": "boss"}).status_code == 409


def test_too_many_requests_of_one_key(served):
    client = served(api_key="one,two", rate_per_minute=3)
    codes = [client.get("/v1/info", headers={"X-API-Key": "one"}).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    reply = client.get("/v1/info", headers={"X-API-Key": "one"})
    assert (reply.headers["retry-after"], reply.headers["content-type"]) == (
        "20",
        "application/problem+json",
    )
    assert client.get("/v1/info", headers={"X-API-Key": "two"}).status_code == 200


def test_without_a_key_in_the_settings_a_made_up_one_is_no_caller_of_its_own(served):
    client = served(rate_per_minute=5)
    codes = [client.get("/v1/info", headers={"X-API-Key": f"r{i}"}).status_code for i in range(8)]
    assert codes == [200] * 5 + [429] * 3


def test_the_address_that_a_trusted_proxy_names_counts(made, monkeypatch):
    given = {}
    monkeypatch.setattr("vsearch.serving.api.server.log_to_stderr", lambda level: None)
    monkeypatch.setattr(
        "vsearch.serving.api.server.uvicorn.run",
        lambda app, **options: given.update(options, app=app),
    )
    serve(
        made,
        [
            "--port",
            "0",
            "--behind-proxy",
            "true",
            "--trusted-proxies",
            "10.0.0.0/8",
            "--rate-per-minute",
            "1",
        ],
        None,
    )
    assert given["proxy_headers"]
    for peer, codes in (("10.1.2.3", [200, 200, 429]), ("11.1.2.3", [200, 429, 429])):
        app = ProxyHeadersMiddleware(given["app"], given["forwarded_allow_ips"])
        client = TestClient(app, client=(peer, 1))
        addresses = ("1.1.1.1", "1.1.1.2", "1.1.1.2")
        assert [
            client.get("/v1/info", headers={"X-Forwarded-For": a}).status_code for a in addresses
        ] == codes
    given["app"].state.service.close()


def test_wrong_keys_are_counted_by_address(served):
    client = served(api_key="one", rate_per_minute=3)
    codes = [
        client.get("/v1/info", headers={"X-API-Key": f"wrong{i}"}).status_code for i in range(5)
    ]
    assert codes == [401, 401, 401, 429, 429]
    assert client.get("/v1/info", headers={"X-API-Key": "one"}).status_code == 200


def test_a_bucket_fills_again():
    now = [0.0]
    rate = Rate(60, lambda: now[0])
    assert [rate.take("a") for _ in range(61)] == [0] * 60 + [1]
    now[0] += 2
    assert [rate.take("a") for _ in range(3)] == [0, 0, 1]
    now[0] += 1000
    assert sum(rate.take("a") == 0 for _ in range(100)) == 60
    assert Rate(0).take("a") == 0


def test_cors_is_closed_unless_an_origin_is_named(served):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = served()
    assert "access-control-allow-origin" not in closed.get("/v1/info", headers=asked).headers
    assert closed.options("/v1/search", headers=asked).status_code == 405
    opened = served(cors_origins="https://shop.example")
    assert (
        opened.options("/v1/search", headers=asked).headers["access-control-allow-origin"]
        == "https://shop.example"
    )
    other = opened.get("/v1/info", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_a_named_origin_can_read_refusals_and_show_pictures(served):
    client = served(cors_origins="https://shop.example", max_json_bytes=10, rate_per_minute=2)
    asked = {"Origin": "https://shop.example"}
    picture = client.get("/v1/items/p1/image", headers=asked)
    assert picture.headers["cross-origin-resource-policy"] == "cross-origin"
    for status in (413, 429):
        reply = client.post("/v1/search", content=bytes(100), headers=asked)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (
            status,
            asked["Origin"],
        )
        exposed = {
            name.strip()
            for name in reply.headers["access-control-expose-headers"].lower().split(",")
        }
        assert exposed == {"x-vsearch-fingerprint", "x-request-id", "retry-after"}
    assert served().get("/healthz").headers["cross-origin-resource-policy"] == "same-origin"
