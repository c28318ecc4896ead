import threading

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import nn

from vsearch.errors import ConfigError
from vsearch.training.checks.dry_run import dry_run

LABELS = torch.arange(4).repeat_interleave(2)
EMBEDDINGS = nn.functional.normalize(
    torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), dim=1
)


def tried(loss, miner=None, key: str = "model.miner", **more):
    return dry_run(loss, {key: miner, **more}, EMBEDDINGS, LABELS)


def refused(key: str, words: str, *arguments) -> None:
    with pytest.raises(ConfigError) as raised:
        tried(*arguments)
    line = str(raised.value)
    assert line.startswith(f"{key}: ")
    assert words in line
    assert "\n" not in line


def test_a_choice_that_isnt_one_is_refused_where_the_library_takes_all():
    words = "'semi-hard' must be one of all, hard, semihard, easy"
    wrong = miners.TripletMarginMiner(0.3, "semi-hard")
    refused("model.miner.init_args.type_of_triplets", words, losses.TripletMarginLoss(0.3), wrong)
    memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 6, miner=wrong)
    refused("model.loss.init_args.miner.init_args.type_of_triplets", words, memory)
    for right in ("all", "hard", "semihard", "easy"):
        tried(losses.TripletMarginLoss(0.3), miners.TripletMarginMiner(0.3, right))


class Broken(nn.Module):
    """A loss that returns what it is told to."""

    def __init__(self, returns) -> None:
        super().__init__()
        self.returns = returns
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, embeddings, labels, mined=None):
        return self.returns(embeddings)


def test_what_is_mined_and_the_gradient_are_those_of_a_step():
    loss = losses.TripletMarginLoss(0.3)
    miner = miners.BatchHardMiner()
    (trial,) = tried(loss, miner)
    inputs = EMBEDDINGS.clone().requires_grad_()
    loss(inputs, LABELS, miner(EMBEDDINGS, LABELS)).backward()
    assert all(map(torch.equal, trial.mined, miner(EMBEDDINGS, LABELS)))
    assert torch.equal(trial.gradient, inputs.grad)


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        (lambda values: values.mean() * float("nan"), "is nan"),
        (lambda values: values.square().sum(1), "shape (8,), not one number: is it a loss?"),
        (lambda values: 0.5, "a float, not one number"),
        (lambda values: torch.tensor(0.5), "no gradient"),
        (lambda values: nn.Parameter(torch.tensor(0.5)) * 2, "no gradient"),
        (lambda values: values @ values[:, :3].T, "mat1 and mat2"),
        (lambda values: values.mean(0, 1, 2, 3), "(test_dry_run.py, line"),
        (lambda values: {}[3], "KeyError 3"),
    ],
)
def test_a_loss_must_be_a_finite_number_with_a_gradient(returns, words):
    refused("model.loss", words, Broken(returns))


def test_a_loss_that_fails_by_itself_is_not_put_down_to_the_miner():
    refused(
        "model.loss",
        "mat1 and mat2",
        Broken(lambda values: values @ values[:, :3].T),
        miners.BatchHardMiner(),
    )
    refused("model.loss", "is it a loss?", miners.BatchHardMiner(), miners.BatchHardMiner())


class PicksNothingKnown(nn.Module):
    def forward(self, embeddings, labels):
        return (labels + 1000,) * 3


class Fails(nn.Module):
    def forward(self, embeddings, labels):
        raise RuntimeError("no pairs")


def test_a_miner_whose_picks_the_loss_cannot_take_is_named():
    loss = losses.TripletMarginLoss()
    refused(
        "model.miner", "the loss can't take what PicksNothingKnown picks", loss, PicksNothingKnown()
    )
    refused("model.miner", "is it a miner?", loss, losses.TripletMarginLoss())
    refused("here", "Fails: no pairs (test_dry_run.py, line", loss, Fails(), "here")


def test_each_miner_is_tried():
    with pytest.raises(ConfigError, match=r"^other: .*is it a miner"):
        tried(losses.TripletMarginLoss(), miners.BatchHardMiner(), other=losses.TripletMarginLoss())
    assert (
        len(
            tried(
                losses.TripletMarginLoss(),
                miners.BatchHardMiner(),
                other=miners.MultiSimilarityMiner(),
            )
        )
        == 2
    )


def test_text_in_place_of_an_object_is_refused():
    loss = losses.CrossBatchMemory(losses.ContrastiveLoss(distance="a.Distance"), 6)
    refused(
        "model.loss.init_args.loss.init_args.distance", "write it as `class_path: a.Distance`", loss
    )


def test_loss_and_miner_are_copied_once_and_stay_as_they_were():
    copies = []

    class Counted(losses.CrossBatchMemory):
        def __deepcopy__(self, memo):
            copies.append(1)
            made = Counted(losses.ContrastiveLoss(), 6, 16)
            made.load_state_dict(self.state_dict())
            return made

    loss = Counted(losses.ContrastiveLoss(), 6, 16).eval()
    assert len(tried(loss, miners.BatchHardMiner(), other=None)) == 2
    assert copies == [1]
    assert (loss.queue_idx, loss.training) == (0, False)
    assert not loss.embedding_memory.any()


def test_a_loss_that_cannot_be_copied_is_let_through_with_a_warning(caplog):
    loss = Broken(lambda values: values.sum())
    loss.lock = threading.Lock()
    assert tried(loss) == []
    assert "can't be copied" in caplog.text
