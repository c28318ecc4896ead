import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from pytorch_metric_learning.losses.base_metric_loss_function import BaseMetricLossFunction

CONFIGS = Path(__file__).parents[3] / "configs"
OVERLAYS = sorted((CONFIGS / "loss").glob("*.yaml"))


def loss(path: Path) -> tuple[type, dict]:
    entry = yaml.safe_load(path.read_text())["model"]["loss"]
    module, _, name = entry["class_path"].rpartition(".")
    return getattr(import_module(module), name), entry["init_args"]


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_takes_nothing_over_from_the_triplet_loss_nor_what_is_filled_in(path):
    kind, given = loss(path)
    accepted = set(inspect.signature(kind).parameters)
    if issubclass(kind, BaseMetricLossFunction):
        accepted.add("reducer")  # behind **kwargs
    _, triplet = loss(CONFIGS / "triplet.yaml")
    assert set(triplet) & accepted <= set(given)
    assert not {"num_classes", "embedding_size"} & set(given)
