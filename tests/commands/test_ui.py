import argparse

import pytest

from vsearch.cli import main
from vsearch.commands import ui


def parsed(*words):
    parser = argparse.ArgumentParser()
    ui.add_arguments(parser)
    return parser.parse_args(words)


def test_it_becomes_streamlit_and_names_the_service(monkeypatch):
    became = []
    monkeypatch.setenv("VSEARCH_SERVICE", "http://elsewhere:1")
    monkeypatch.setattr(ui.os, "execv", lambda program, words: became.append(words))
    main(["ui", "--service", "http://127.0.0.1:8123/", "--port", "8600", "--base-path", "page"])
    (words,) = became
    assert ui.os.environ["VSEARCH_SERVICE"] == "http://127.0.0.1:8123"
    flags = dict(zip(words[5::2], words[6::2], strict=True))
    assert words[1:4] == ["-m", "streamlit", "run"]
    assert flags["--server.port"] == "8600"
    assert flags["--server.address"] == "127.0.0.1"
    assert flags["--server.baseUrlPath"] == "page"
    assert flags["--browser.gatherUsageStats"] == "false"


def test_the_environment_names_the_service_too(monkeypatch):
    monkeypatch.setenv("VSEARCH_SERVICE", "http://elsewhere:1")
    assert parsed().service == "http://elsewhere:1"


def test_an_address_without_http_is_refused():
    with pytest.raises(SystemExit, match=r"an address looks like http://127\.0\.0\.1:8000"):
        main(["ui", "--service", "127.0.0.1:8000"])
