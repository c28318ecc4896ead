import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import torch

from vsearch.data.io.locks import one_at_a_time

# RuntimeError: the file's hash isn't the one in its name.
NOT_FETCHED = (OSError, HTTPException, RuntimeError)
WEIGHTS = (".safetensors", ".bin")  # of a model on Hugging Face's Hub


@contextmanager
def give_up_when_silent(seconds: float = 20.0) -> Iterator[None]:
    """Raise an error if a connection is silent for so long; by default Python waits forever.

    This is for urllib: Hugging Face's client has its own limits of 10 seconds.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def checkpoint_file(url: str) -> Path:
    """Return the path of a URL's file in torch's cache."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(url).name)


def fetch(url: str) -> Path:
    """Return the file of a URL in torch's cache; download it first if it isn't there.

    Raises:
        OSError, HTTPException: it can't be downloaded (`NOT_FETCHED` has all three).
        RuntimeError: the file's hash isn't the one in its name; the file is not kept.
    """
    file = checkpoint_file(url)
    with one_at_a_time(str(file.absolute())):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = torch.hub.HASH_REGEX.search(file.name)
            print(f"Downloading {url} to {file}")
            with give_up_when_silent():
                torch.hub.download_url_to_file(url, str(file), digest.group(1) if digest else None)
    return file


def hub_files(name: str) -> list[Path]:
    """Return the local weight files of a model on the Hub, or of a folder like it."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    if Path(name).is_dir():
        found = Path(name).glob("*")
    else:
        repository = name.partition("@")[0]  # timm names a revision like this
        folder = Path(
            constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model")
        )
        found = folder.glob("snapshots/*/*")
    return sorted(path for path in found if path.suffix in WEIGHTS)
