import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, NamedTuple
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vsearch.models.freezing import find, freeze

Unavailable = Literal["error", "scratch"]  # what to do when named weights can't be downloaded
SUFFIXES = (".pth", ".pt", ".safetensors")
# Errors that libraries raise for a damaged file.
UNREADABLE = (RuntimeError, EOFError, UnpicklingError, BadZipFile, SafetensorError)


class Origin(NamedTuple):
    """Where initial weights come from.

    Attributes:
        name: as reports show it; "random" if they were drawn.
        wanted: the name of the weights that couldn't be downloaded, or empty.
    """

    name: str
    wanted: str = ""


def is_file(weights: str) -> bool:
    """Return whether `weights` names a local file rather than weights of a library."""
    return Path(weights).suffix in SUFFIXES


def read(path: Path) -> dict[str, Any]:
    """Return the tensors of a state_dict file by name. Code in the file is not run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it can't be read, or isn't a state_dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights: there is no file {path}.")
    try:
        state = _state(path)
    except Exception as error:  # each format has its own kinds
        raise unreadable(str(path), error) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"weights: {path} holds a {type(state).__name__}, not a state_dict.")
    return dict(state)


def from_file(weights: str) -> tuple[dict[str, Any], Origin]:
    """Return the tensors of a state_dict file by name (see `read`), and where they come from."""
    path = Path(weights)
    return read(path), Origin(f"file {path.name}")


def load(
    model: nn.Module,
    state: Mapping[str, Any],
    origin: str,
    network: str,
    ignored: tuple[str, ...] = (),
) -> None:
    """Copy a state_dict into the model, all of it or nothing.

    Args:
        origin, network: names of the tensors and the model, for the error.
        ignored: prefixes of names in `state` that aren't loaded (a classifier's).

    Raises:
        ValueError: a tensor is missing, unknown or has another shape.
    """
    given = {name: value for name, value in state.items() if not name.startswith(ignored)}
    wanted = model.state_dict()
    wrong = [name for name in {**wanted, **given} if not _fits(name, wanted, given)]
    if wrong:
        raise ValueError(
            f"weights: {origin} does not fit {network}: {len(wrong)} tensors are missing, unknown "
            f"or have another shape, such as {wrong[:3]}. Are they of another architecture? Use a "
            "state_dict in this network's layout."
        )
    # Not load_state_dict: some networks refuse a state_dict without its version.
    with torch.no_grad():
        for name, value in given.items():
            wanted[name].copy_(value)


def unreadable(what: str, error: Exception, files: Sequence[Path] = ()) -> ValueError:
    """Return the error to raise for damaged weights.

    Args:
        what: a file, or the weights' name in reports.
        error: the library's error.
        files: what to delete or replace, if `what` isn't a file.
    """
    places = ", ".join(map(str, files)) or "the file"
    return ValueError(
        f"weights: {what} can't be read: {_reason(error)}. Delete or replace {places}."
    )


def fetch_elsewhere(hub_name: str | None, url: str | None) -> str:
    """Return the advice for a failed download from Hugging Face's Hub, or from a URL."""
    address = f"huggingface.co/{hub_name.strip('/')}" if hub_name else url
    return f"Fetch {address} on another machine, and set `weights` to the file."


def go_without(wanted: str, error: Exception, remedy: str, unavailable: Unavailable) -> Origin:
    """Warn that training starts from random weights, and return their origin.

    Raises:
        FileNotFoundError: `unavailable` forbids it.
    """
    missing = f"weights: {wanted} can't be downloaded ({_reason(error)}). {remedy}"
    if unavailable == "error":
        raise FileNotFoundError(
            f"{missing} `weights_unavailable: scratch` starts from random weights instead."
        ) from error
    warnings.warn(
        f"{missing} Training starts from RANDOM weights with nothing frozen.", stacklevel=4
    )
    return Origin("random", wanted)


def freeze_trained(model: nn.Module, names: Iterable[str], origin: str) -> list[str]:
    """Freeze the named stages and return their names; with random weights freeze nothing.

    Raises:
        ValueError: the model has no stage of this name; random weights are checked, too.
    """
    names = list(names)
    if origin == "random":
        find(model, names)
        return []
    freeze(model, names)
    return names


def _state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    if isinstance(error, UnpicklingError):  # torch's message advises running the file's code
        return "it isn't a PyTorch file, or holds code beside the weights"
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")


def _fits(name: str, wanted: Mapping[str, Tensor], given: Mapping[str, Any]) -> bool:
    if name not in given:
        return name.endswith("num_batches_tracked")  # files older than torch 0.4.1 lack it
    return name in wanted and wanted[name].shape == getattr(given[name], "shape", None)
