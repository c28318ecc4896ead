"""What the service does where its bundle can't be opened at the start."""

import os
import signal

import pytest

from vsearch.errors import BundleError
from vsearch.serving.api import server
from vsearch.serving.api.server import CannotServe
from vsearch.serving.api.settings import Settings


@pytest.fixture
def attempts(monkeypatch):
    """What opening the bundle raises, one after another, and then the app."""
    left = []

    def create_app(find_bundle, settings):
        if left:
            raise left.pop(0)
        return "the app"

    monkeypatch.setattr(server, "create_app", create_app)
    return left


def test_a_bundle_that_can_not_be_served_is_named_once_and_tried_again(
    attempts, monkeypatch, caplog
):
    pauses = []
    monkeypatch.setattr(server.time, "sleep", pauses.append)
    attempts += [BundleError("index.faiss is damaged.")] * 6 + [BundleError("no manifest.")] * 2
    before = signal.getsignal(signal.SIGTERM)
    assert server._opened(None, Settings(wait_for_bundle=True)) == "the app"
    assert signal.getsignal(signal.SIGTERM) is before
    assert [record.message for record in caplog.records] == [
        "index.faiss is damaged. The service will try again until it can serve.",
        "no manifest. The service will try again until it can serve.",
    ]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("error", [BundleError("damaged"), OSError("damaged")])
def test_else_it_ends(attempts, error):
    attempts.append(error)
    with pytest.raises(CannotServe, match="damaged"):
        server._opened(None, Settings())


def test_who_may_not_read_the_bundle_is_named(attempts):
    attempts.append(PermissionError(13, "Permission denied", "/data/bundle/CURRENT"))
    with pytest.raises(CannotServe) as refused:
        server._opened(None, Settings())
    assert f"/data/bundle/CURRENT: the service's user, uid {os.geteuid()}," in str(refused.value)
    assert "chmod -R a+rX" in str(refused.value)


def test_who_waits_ends_when_told_to(attempts, monkeypatch):
    attempts.append(BundleError("damaged"))
    monkeypatch.setattr(server.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        server._opened(None, Settings(wait_for_bundle=True))
    assert ended.value.code == 128 + signal.SIGTERM
