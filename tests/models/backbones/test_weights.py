import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vsearch.models.backbones.weights import (
    Origin,
    freeze_trained,
    go_without,
    is_file,
    load,
    read,
    unreadable,
)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ("a/b.pth", True),
        ("b.pt", True),
        ("b.safetensors", True),
        ("DEFAULT", False),
        ("laion2b_s34b", False),
    ],
)
def test_files_and_names(weights, wanted):
    assert is_file(weights) == wanted


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
def test_what_is_saved_is_read(name, tmp_path):
    state = network().state_dict()
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    assert same(read(tmp_path / name), state)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"w": Evil(tmp_path / "made")}, tmp_path / "evil.pth")
    with pytest.raises(
        ValueError, match=r"weights: .*evil.pth can't be read: .* holds code.*Delete or replace"
    ):
        read(tmp_path / "evil.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_half_copied_file_is_refused(name, share, tmp_path):
    whole = tmp_path / f"whole-{name}"
    (save_file if name.endswith("safetensors") else torch.save)(network().state_dict(), whole)
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ValueError, match=rf"weights: .*{name} can't be read: .+\. Delete or replace the file\."
    ):
        read(tmp_path / name)


def test_a_missing_file_and_a_file_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.pth"):
        read(tmp_path / "gone.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds a list, not a state_dict"):
        read(tmp_path / "list.pth")


def test_all_tensors_are_copied_but_those_ignored():
    model, other = network(), network()
    load(
        model,
        {**other.state_dict(), "fc.weight": torch.zeros(9)},
        "a file",
        "net",
        ignored=("fc.",),
    )
    assert same(model.state_dict(), other.state_dict())


def test_counters_that_old_files_lack_stay():
    model = network()
    model[1].num_batches_tracked.fill_(7)
    state = {
        name: value for name, value in network().state_dict().items() if "num_batches" not in name
    }
    load(model, state, "a file", "net")
    assert model[1].num_batches_tracked == 7
    assert torch.equal(model[0].weight, state["0.weight"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"0.weight": torch.zeros(3, 5)}, "0.weight"),
        ({"2.weight": torch.zeros(1)}, "2.weight"),
        ({"0.bias": None}, "0.bias"),
        ({"0.bias": "text"}, "0.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_none_is_loaded(change, named):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {
        name: value
        for name, value in {**network().state_dict(), **change}.items()
        if value is not None
    }
    with pytest.raises(
        ValueError, match=rf"weights: a file does not fit net: 1 tensors .*\['{named}'\]"
    ):
        load(model, state, "a file", "net")
    assert same(model.state_dict(), before)


def test_random_weights_are_never_frozen_but_wrong_names_are_refused_all_the_same():
    model = network()
    assert freeze_trained(model, ["0"], "random") == []
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="no part 'stem'"):
        freeze_trained(model, ["stem"], "random")
    assert freeze_trained(model, ("0",), "a file") == ["0"]
    assert [parameter.requires_grad for parameter in model.parameters()] == [
        False,
        False,
        True,
        True,
    ]


def test_weights_that_cannot_be_had_are_an_error_or_a_warning():
    error = OSError("no route\nto host")
    with pytest.raises(
        FileNotFoundError, match=r"weights: X V1 can't be downloaded \(no route\)\. Go\. .*scratch"
    ):
        go_without("X V1", error, "Go.", "error")
    with pytest.warns(
        UserWarning, match=r"X V1 can't be downloaded \(no route\)\. Go\. .* RANDOM weights"
    ):
        assert go_without("X V1", error, "Go.", "scratch") == Origin("random", "X V1")


def test_an_error_without_words_is_named_by_its_kind():
    message = str(unreadable("X V1", EOFError(), [Path("a.bin"), Path("b.bin")]))
    assert message == "weights: X V1 can't be read: EOFError. Delete or replace a.bin, b.bin."
