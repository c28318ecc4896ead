import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import yaml


def unreadable(words: Sequence[str]) -> tuple[str, str] | None:
    """Find the configuration file that is no YAML mapping: jsonargparse tells what is wrong in it,
    but not the file.
    """
    named = [word for flag, word in itertools.pairwise(words) if flag in ("-c", "--config")]
    named += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    for name in filter(os.path.isfile, named):  # YAML can stand in the command line, too
        try:
            content = yaml.safe_load(Path(name).read_text())
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            return f"{name}{line}", f"no valid YAML: {getattr(error, 'problem', None) or error}"
        if not isinstance(content, dict):
            return (
                name,
                f"expected settings (`key: value`), found {content if content else 'nothing'}",
            )
    return None
