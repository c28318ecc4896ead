import gc
import re

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from vsearch.cli.main import main
from vsearch.serving.api.server import CannotServe, serve, unknown_variables
from vsearch.serving.api.settings import Settings, from_flags


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text(
        "port: 1\nmax_batch: 2\nretry_after_s: 3\ncors_origins: [https://a.example]\nbundle: "
        "some/where\n"
    )
    monkeypatch.setenv("VSEARCH_PORT", "11")
    monkeypatch.setenv("VSEARCH_MAX_BATCH", "12")
    settings = from_flags(["--port", "111", "--behind-proxy", "true"], file)
    assert (settings.port, settings.max_batch, settings.retry_after_s, settings.behind_proxy) == (
        111,
        12,
        3,
        True,
    )
    assert (str(settings.bundle), settings.cors_origins) == ("some/where", ["https://a.example"])


def test_keys(monkeypatch):
    monkeypatch.setenv("VSEARCH_API_KEY", "one, two,")
    assert (Settings().keys, Settings().admin_keys, Settings(admin_key="x").admin_keys) == (
        ["one", "two"],
        ["one", "two"],
        ["x"],
    )
    assert "one, two" not in repr(Settings())
    assert Settings(api_key="").admin_keys == []


def test_what_nobody_knows_is_refused(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("prot: 1\n")
    with pytest.raises(ValidationError, match="prot"):
        from_flags([], file)
    with pytest.raises(SystemExit):
        from_flags(["--prot", "1"])


BAD = [
    (b"port: [", "line 1"),
    (b"- port\n", "lines of `name: value`"),
    (b"1: 2\n", "lines of `name: value`"),
    (b"\xff\xfe", "utf-8"),
    (b"prot: 1\n", "prot"),
    (b"log_level: debgu\n", "log_level"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_bad_file_of_settings_ends_the_start(tmp_path, text, said):
    file = tmp_path / "settings.yaml"
    file.write_bytes(text)
    with pytest.raises(CannotServe, match=re.escape(said)):
        serve(None, [], file)


def test_a_bad_file_of_settings_refuses_a_reload(tmp_path, monkeypatch, made):
    file, apps = tmp_path / "settings.yaml", []
    monkeypatch.setattr("vsearch.serving.api.server.log_to_stderr", lambda level: None)
    monkeypatch.setattr(
        "vsearch.serving.api.server.uvicorn.run", lambda app, **options: apps.append(app)
    )
    file.write_text(f"bundle: {made}\napi_key: key\nport: 0\n")
    serve(None, [], file)
    assert gc.get_freeze_count() == 0
    with TestClient(apps[0], headers={"X-API-Key": "key"}) as client:
        assert client.post("/v1/admin/reload").status_code == 200
        for text, said in BAD:
            file.write_bytes(text)
            reply = client.post("/v1/admin/reload")
            assert (reply.status_code, said in reply.json()["detail"]) == (409, True), text
            assert client.get("/v1/info").status_code == 200


def test_a_wrong_setting_is_named_without_its_value(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("api_key: 123456\nport: x\n")
    with pytest.raises(CannotServe) as refused:
        serve(None, [], file)
    assert re.fullmatch(
        "settings: port: .*; api_key: Input should be a valid string", str(refused.value)
    )


def test_a_misspelt_setting_in_the_environment_is_found():
    names = ["VSEARCH_APIKEY", "VSEARCH_API_KEY", "vsearch_port", "VSEARCH_SERVICE", "PATH"]
    assert unknown_variables(names) == ["VSEARCH_APIKEY"]


def test_all_settings_are_listed(capsys):
    main(["serve", "--list-settings"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        f"--{name.replace('_', '-')}" for name in Settings.model_fields
    ]
    assert "--port  (8000)  port to listen at; 0: any that is free" in lines
