import hashlib
import socket
from urllib.request import urlopen

import pytest

from vsearch.models.backbones.downloads import (
    checkpoint_file,
    fetch,
    give_up_when_silent,
    hub_files,
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """torch's cache in a folder of its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def served(folder, data: bytes, digest: str) -> str:
    """A URL of a local file whose name has these first digits of a hash."""
    file = folder / f"net-{digest}.pth"
    file.write_bytes(data)
    return file.as_uri()


def test_a_silent_server_is_given_up_and_the_limit_is_for_the_block_alone(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    before = socket.getdefaulttimeout()
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as silent:  # takes connections, and never says a word
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/net.pth"
        with pytest.raises(OSError, match="timed out"), give_up_when_silent(0.2):
            urlopen(url)
    assert socket.getdefaulttimeout() == before


def test_a_download_has_the_limit(cache, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "torch.hub.download_url_to_file", lambda *args: seen.append(socket.getdefaulttimeout())
    )
    fetch("https://example.org/net-0123abcd.pth")
    assert seen == [20]


def test_what_is_fetched_stays_and_its_hash_is_checked(cache, tmp_path):
    data = b"weights"
    url = served(tmp_path, data, hashlib.sha256(data).hexdigest()[:8])
    assert fetch(url) == checkpoint_file(url)
    assert checkpoint_file(url).parent == cache
    (tmp_path / checkpoint_file(url).name).unlink()
    assert fetch(url).read_bytes() == data


def test_another_hash_is_refused_and_the_file_not_kept(cache, tmp_path):
    with pytest.raises(RuntimeError, match="invalid hash value"):
        fetch(served(tmp_path, b"a login page", "0123abcd"))
    assert not list(cache.iterdir())


def test_files_of_the_hub_and_of_a_folder_like_it(tmp_path, monkeypatch):
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="needs the extra timm or transformers"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--some--net" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "pytorch_model.bin", "config.json"):
        (folder / name).touch()
    wanted = [folder / "model.safetensors", folder / "pytorch_model.bin"]
    assert hub_files("some/net") == hub_files("some/net@main") == hub_files(str(folder)) == wanted
    assert hub_files("some/other") == []
