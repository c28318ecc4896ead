import pytest
from pydantic import ValidationError

from vsearch.cli import main
from vsearch.service.settings import Settings, from_flags


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text("port: 1\nmax_batch: 2\nretry_after_s: 3\ncors_origins: [https://a.example]\nbundle: some/where\n")
    monkeypatch.setenv("VSEARCH_PORT", "11")
    monkeypatch.setenv("VSEARCH_MAX_BATCH", "12")
    settings = from_flags(["--port", "111", "--behind-proxy", "true"], file)
    assert (settings.port, settings.max_batch, settings.retry_after_s, settings.behind_proxy) == (111, 12, 3, True)
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


def test_all_settings_are_listed(capsys):
    main(["serve", "--list-settings"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"--{name.replace('_', '-')}" for name in Settings.model_fields]
    assert "--port  (8000)  port to listen at; 0: any that is free" in lines
