import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from vsearch.errors import ConfigError


def unreadable(words: Sequence[str]) -> ConfigError | None:
    """Return what is wrong, and in which file, with the first `--config` that is no mapping."""
    files = [word for flag, word in itertools.pairwise(words) if flag in ("-c", "--config")]
    files += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    for file in filter(os.path.isfile, files):  # YAML can stand in the command line, too
        try:
            content = yaml.safe_load(Path(file).read_text())
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            reason = getattr(error, "problem", None) or error
            return ConfigError(f"{file}{line}", f"no valid YAML: {reason}")
        if not isinstance(content, dict):
            return ConfigError(
                file, f"expected settings (`key: value`), found {content or 'nothing'}"
            )
    return None
