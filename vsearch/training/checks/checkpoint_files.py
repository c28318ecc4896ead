import zipfile
from pathlib import Path

import torch

from vsearch.errors import ConfigError

SHARDED = ("meta.pt", "checkpoint")  # FSDP and DeepSpeed write these into a checkpoint's folder


def check_checkpoint(path: Path) -> None:
    """Raise a ConfigError if a checkpoint is missing, a plain folder, or damaged."""
    if not path.exists():
        raise ConfigError("ckpt_path", f"there is no file {path}")
    if path.is_dir():
        if not any((path / name).exists() for name in SHARDED):
            found = _whole([*path.glob("*.ckpt"), *path.glob("checkpoints/*.ckpt")])
            raise ConfigError(
                "ckpt_path", f"{path} is a folder, not a checkpoint. {_advice(found)}"
            )
    elif not _is_whole(path):
        size = f"{path.stat().st_size:,} bytes"
        found = _whole(list(path.parent.glob("*.ckpt")))
        raise ConfigError(
            "ckpt_path",
            f"{path} ({size}) is damaged, cut off, or not a checkpoint. {_advice(found)}",
        )


def _advice(found: list[Path]) -> str:
    if not found:
        return "Name another checkpoint, or start a new fit, without --ckpt_path."
    return f"Use {' or '.join(map(str, found))}."


def _whole(paths: list[Path]) -> list[Path]:
    return sorted(path for path in paths if _is_whole(path))


def _is_whole(path: Path) -> bool:
    """Return whether a file is an intact checkpoint of a fit, by its ZIP checksums."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return False
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {"state_dict", "pytorch-lightning_version"} <= saved.keys()
    except Exception:  # torch raises many types for other files
        return False
