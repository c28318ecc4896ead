from lightning.pytorch.tuner import Tuner
from test_module import data_of, learner, trainer


def test_lightnings_finder_proposes_a_learning_rate_and_leaves_the_weights_as_they_were(
    colours, tmp_path
):
    model, run = learner(lr_factors={"stem": 0.5}), trainer(tmp_path, 10, callbacks=[])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = Tuner(run).lr_find(
        model, data_of(colours), min_lr=1e-5, max_lr=0.1, num_training=30, update_attr=False
    )
    assert len(found.results["lr"]) == 30
    assert 1e-5 < found.suggestion() < 0.1
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
