from pathlib import Path

import pytest
import torch

from vsearch.errors import ConfigError
from vsearch.training.checks.checkpoint_files import check_checkpoint

DAMAGED = {
    "empty": b"",
    "noise": bytes(range(256)) * 80,
    "cut": b"PK\3\4" + bytes(20_000),
    "pointer": b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    saved = {"state_dict": {"a": torch.ones(100)}, "pytorch-lightning_version": "2.6"}
    torch.save(saved, tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


def test_a_whole_checkpoint_is_taken(whole: Path) -> None:
    check_checkpoint(whole)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_named_with_one_to_take(whole: Path, name: str) -> None:
    damaged = whole.with_name("last.ckpt")
    damaged.write_bytes(DAMAGED[name])
    with pytest.raises(ConfigError, match=r"last\.ckpt .* is damaged.* Use .*best\.ckpt\.$"):
        check_checkpoint(damaged)


def test_a_changed_bit_is_noticed(whole: Path) -> None:
    data = bytearray(whole.read_bytes())
    data[data.index(torch.ones(100).numpy().tobytes()) + 200] ^= 1
    whole.write_bytes(data)
    with pytest.raises(ConfigError, match="is damaged"):
        check_checkpoint(whole)


def test_what_torch_wrote_for_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match="not a checkpoint"):
        check_checkpoint(tmp_path / "other.ckpt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_checkpoint_is_refused(whole: Path, share: float) -> None:
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConfigError, match=r"Name another checkpoint, or start a new fit"):
        check_checkpoint(whole)


def test_a_folder_and_nothing_are_refused(whole: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder.* Use .*best\.ckpt"):
        check_checkpoint(whole.parent)
    with pytest.raises(ConfigError, match="there is no file"):
        check_checkpoint(whole.with_name("gone.ckpt"))
