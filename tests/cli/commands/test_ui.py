import argparse

import pytest
from refusals import refusal

from vsearch.cli.commands import ui
from vsearch.cli.main import main
from vsearch.serving.api.settings import Settings
from vsearch.serving.page import sending


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


def test_a_photo_that_the_page_sends_fits_into_the_services_body():
    assert Settings().max_body_bytes > sending.LARGEST + 10_000  # 10 kB for the form around it


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8000", "http://", "http://a:99999", "http://[::1", "ftp://a", "http://a:x"],
)
def test_what_is_no_address_is_refused(address, capsys):
    said = refusal(capsys, "ui", "--service", address)
    assert "an address looks like http://127.0.0.1:8000" in said


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_what_is_no_port_is_refused(port, capsys):
    assert "a port is 1 to 65535" in refusal(capsys, "ui", "--port", port)
