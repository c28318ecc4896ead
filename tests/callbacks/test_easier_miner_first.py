import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from test_module import data_of, learner, trainer

from callbacks.easier_miner_first import EasierMinerFirst
from vsearch.training.module import MetricLearner


class Calls(Callback):
    """Which miners mined the training batches of each epoch."""

    def __init__(self, module: MetricLearner, easier: TripletMarginMiner) -> None:
        self.epochs: list[set[str]] = []
        self.training = False
        for name, miner in (("own", module.miner), ("easier", easier)):
            miner.register_forward_hook(lambda *_, name=name: self.note(name))

    def note(self, name: str) -> None:
        if self.training:
            self.epochs[-1].add(name)

    def on_train_epoch_start(self, *_) -> None:
        self.epochs.append(set())

    def on_train_batch_start(self, *_) -> None:
        self.training = True

    def on_train_batch_end(self, *_) -> None:
        self.training = False


def fitted(
    colours, folder, epochs: int, resume: bool = False
) -> tuple[MetricLearner, list[set[str]]]:
    module, easier = learner(), TripletMarginMiner(0.3, "semihard")
    calls = Calls(module, easier)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    run = trainer(folder, epochs, callbacks=[EasierMinerFirst(easier, 2), calls, last])
    run.fit(module, data_of(colours), ckpt_path=folder / "last.ckpt" if resume else None)
    return module, calls.epochs


def test_the_easier_miner_mines_the_first_epochs_and_the_models_own_the_rest(colours, tmp_path):
    module, epochs = fitted(colours, tmp_path, 4)
    assert epochs == [{"easier"}, {"easier"}, {"own"}, {"own"}]
    assert isinstance(module.miner, BatchHardMiner)


def test_a_resumed_run_goes_on_alike(colours, tmp_path):
    whole, _ = fitted(colours, tmp_path / "whole", 3)
    fitted(colours, tmp_path / "part", 1)
    resumed, epochs = fitted(colours, tmp_path / "part", 3, resume=True)
    assert epochs == [{"easier"}, {"own"}]
    expected = whole.state_dict()
    assert all(value.equal(expected[name]) for name, value in resumed.state_dict().items())


def test_no_epoch_at_all_is_refused():
    with pytest.raises(ValueError, match="epochs: it must be 1 or more"):
        EasierMinerFirst(BatchHardMiner(), 0)
