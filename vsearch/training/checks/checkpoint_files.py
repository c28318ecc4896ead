import zipfile
from pathlib import Path

import torch

from vsearch.errors import ConfigError

SHARDED = ("meta.pt", "checkpoint")  # what FSDP and DeepSpeed write into a checkpoint's folder


def check_checkpoint(path: Path) -> None:
    """Raise a ConfigError if a checkpoint is missing, a plain folder, or no whole file."""
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
            "ckpt_path", f"{path} ({size}) is damaged, cut off, or no checkpoint. {_advice(found)}"
        )


def _advice(found: list[Path]) -> str:
    if not found:
        return "Name another checkpoint, or start the fit anew, without --ckpt_path."
    return f"Take {' or '.join(map(str, found))}."


def _whole(paths: list[Path]) -> list[Path]:
    return sorted(path for path in paths if _is_whole(path))


def _is_whole(path: Path) -> bool:
    """Tell whether a file is a fit's checkpoint in which no bit has changed: ZIP has check sums."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return False
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {"state_dict", "pytorch-lightning_version"} <= saved.keys()
    except Exception:  # torch raises many types for what isn't its own
        return False
