from vsearch.evaluation.studies.fit_settings import watching

STOP = {
    "class_path": "EarlyStopping",
    "init_args": {"monitor": "val/loss", "mode": "min", "patience": 3},
}
BEST = {
    "class_path": "ModelCheckpoint",
    "init_args": {"monitor": "val/loss", "mode": "min", "filename": "best"},
}
OTHERS = [
    {
        "class_path": "ModelCheckpoint",
        "init_args": {"monitor": None, "mode": "min", "filename": "last"},
    },
    {"class_path": "ShowRun", "init_args": {}},
    {"class_path": "BuildIndex", "init_args": {"index": {"class_path": "FaissIndex"}}},
    {"class_path": "WarnOnCollapse"},
    {"class_path": "mine.Odd", "init_args": {"monitor": "train/loss_step"}},
]


def test_callbacks_that_look_at_a_metric_look_at_this_one_and_keep_the_rest():
    assert watching([STOP, *OTHERS, BEST], "val/map_at_r") == [
        {**STOP, "init_args": {"monitor": "val/map_at_r", "mode": "max", "patience": 3}},
        *OTHERS,
        {**BEST, "init_args": {"monitor": "val/map_at_r", "mode": "max", "filename": "best"}},
    ]
    assert STOP["init_args"]["monitor"] == "val/loss"


def test_a_single_callback_or_none_is_a_list_too():
    assert watching(STOP, "val/map_at_r")[0]["init_args"]["mode"] == "max"
    assert watching(None, "val/map_at_r") == []
