import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.files import GENERATIONS, MANIFEST
from vsearch.class_paths import SpecError
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError, Failed

SCHEMA = 3  # of the fitted bundle's manifest
GENERATION_SCHEMA = 1
# In schema 2, and in the config of a run that wrote it, classes had other paths.
NEW_PATHS = (
    r"sed -i -E 's/vsearch\.(backbones|heads)\./vsearch.models.\1./; "
    r"s/vsearch\.(catalogs|splits)\b/vsearch.data.\1/; "
    r"s/vsearch\.(losses|samplers)\./vsearch.training.\1./'"
)
MOST_DIM = 1 << 16  # of an embedding
WEIGHTS = "model.safetensors"
TEXT_WEIGHTS = "text.safetensors"
TOKENIZER = "tokenizer.json"
BINDING = ("preprocessing", "dim", "normalisation", "metric")


def folder_of(bundle: Path, generation: int) -> Path:
    """Return the folder of a generation's files; for 0, the fitted one, it is the bundle itself."""
    return bundle / GENERATIONS / f"{generation:06d}" if generation else bundle


def read_fitted(bundle: Path, digest: str | None = None) -> dict[str, Any]:
    """Return the manifest of the fit, generation 0; `digest` is the SHA-256 that it must have.

    Raises:
        BundleError: it is missing, damaged, or has another schema.
    """
    path = bundle / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{bundle} isn't a bundle: it has no {MANIFEST}. A fit writes one to "
            "lightning_logs/version_N/bundle."
        )
    return _read(path, SCHEMA, digest)


def read_generation(bundle: Path, generation: int, digest: str) -> dict[str, Any]:
    """Return the manifest of a later generation."""
    path = folder_of(bundle, generation) / MANIFEST
    if not path.is_file():
        raise BundleError(f"{bundle}: generation {generation} isn't kept (any more).")
    return _read(path, GENERATION_SCHEMA, digest)


def model_of(fitted: dict[str, Any]) -> dict[str, Any]:
    """Return what binds vectors to a model: the fingerprint and its inputs."""
    parts = {name: fitted[name] for name in BINDING}
    return {"fingerprint": fitted["fingerprint"], "weights": fitted["sha256"][WEIGHTS], **parts}


def check_model(theirs: dict[str, Any], ours: dict[str, Any], whose: str) -> None:
    """Compare the known facts about the model that made vectors with a bundle's `model_of`.

    Raises:
        BundleError: they differ; the message has both fingerprints and the differences.
    """
    differences = _differences(theirs, ours)
    if theirs["fingerprint"] == ours["fingerprint"] and not differences:
        return
    known = differences or ["one of " + ", ".join(("weights", *BINDING))]
    raise BundleError(
        f"{whose} of another model: fingerprint {theirs['fingerprint']}, this bundle's is "
        f"{ours['fingerprint']}. Differences: {'; '.join(known)}."
    )


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    found = []
    for name, value in theirs.items():
        here = ours.get(name)
        if name not in ("weights", *BINDING) or value == here:
            continue
        if not (isinstance(value, dict) and isinstance(here, dict)):
            found.append(f"{name}: {value}, here {here}")
            continue
        for key in {**here, **value}:
            if value.get(key) != here.get(key):
                found.append(f"{name}.{key}: {value.get(key)}, here {here.get(key)}")
    return found


def _read(path: Path, schema: int, digest: str | None) -> dict[str, Any]:
    if digest is not None and sha256(path) != digest:
        raise BundleError(f"{path} is damaged (its SHA-256 differs).")
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise BundleError(f"{path} is damaged: {error}.") from error
    found = manifest.get("schema") if isinstance(manifest, dict) else None
    if found != schema:
        raise BundleError(
            f"{path}: schema {found}; this vsearch reads schema {schema}.{_remedy(path, found)}"
        )
    dim = manifest.get("dim", 1)
    if type(dim) is not int or not 1 <= dim <= MOST_DIM:
        raise BundleError(f"{path}: dim must be a whole number, 1 to {MOST_DIM:,}, got {dim!r}.")
    return dict(manifest)


def _remedy(path: Path, schema: object) -> str:
    """Return the command that makes an older bundle again, if its run has its config."""
    config = path.absolute().parent.with_name("config.yaml")
    if not isinstance(schema, int) or schema >= SCHEMA or not config.is_file():
        return ""
    quoted = shlex.quote(str(config))
    return f" Fit it again: {NEW_PATHS} {quoted} && python -m vsearch fit --config {quoted}"


@contextmanager
def explained(place: Path | str, doing: str) -> Iterator[None]:
    """Turn errors into a BundleError that names the place, and `doing`: `opening the index`.

    OSErrors pass: their messages are clear.
    """
    try:
        yield
    except (BundleError, Failed, OSError):
        raise
    except (SpecError, ImportError, ValueError) as error:
        raise BundleError(f"{place}: {error}") from error
    except Exception as error:  # an index may be a plugin
        raise BundleError(f"{place}: {doing} failed ({type(error).__name__}: {error}).") from error
