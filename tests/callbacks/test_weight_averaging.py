import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from test_module import data_of, learner, trainer

from callbacks.build_index import BuildIndex
from vsearch.bundle.opening import open_bundle


def test_the_bundle_holds_the_averaged_weights_of_the_best_epoch(colours, tmp_path):
    best = ModelCheckpoint(tmp_path / "checkpoints", "best", monitor="val/loss")
    run = trainer(
        tmp_path, 3, callbacks=[best, BuildIndex(baseline=False), EMAWeightAveraging(decay=0.9)]
    )
    run.fit(learner(), data_of(colours))
    saved = torch.load(best.best_model_path, weights_only=True)
    served = open_bundle(tmp_path / "bundle").runtime.network.state_dict()
    averaged, current = (
        {name: saved[key][f"embedder.{name}"] for name in served}
        for key in ("state_dict", "current_model_state")
    )
    assert all(value.equal(averaged[name]) for name, value in served.items())
    assert not any(
        averaged[name].equal(current[name]) for name in served if name.endswith("weight")
    )
