import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from vsearch.errors import ConfigError


def unreadable(words: Sequence[str]) -> ConfigError | None:
    """Return the error of the first `--config` that isn't a mapping, with its file."""
    files = [word for flag, word in itertools.pairwise(words) if flag in ("-c", "--config")]
    files += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    for file in filter(os.path.isfile, files):  # the command line may also hold YAML itself
        try:
            content = yaml.safe_load(Path(file).read_text())
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            reason = getattr(error, "problem", None) or error
            return ConfigError(f"{file}{line}", f"not valid YAML: {reason}")
        if not isinstance(content, dict):
            return ConfigError(
                file, f"expected settings (`key: value`), found {content or 'nothing'}"
            )
    return None
