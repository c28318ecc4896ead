import pytest

from vsearch.errors import ConfigError
from vsearch.training.checks.config_errors import parse_error

SETTINGS = [
    "seed_everything",
    "model.loss",
    "model.warmup_steps",
    "data.catalog",
    "trainer.max_epochs",
]


def told(message: str) -> str:
    return str(parse_error(message, (), SETTINGS))


def test_a_message_of_an_unknown_shape_keeps_its_words():
    assert told("Something new:\n  with a\tsecond line\n\n  and a third") == (
        "command line: Something new: with a second line and a third"
    )
    nested = (
        'Parser key "model.loss":\n'
        "  Problem with given class_path 'a.B':\n"
        "    Something\n"
        "      new"
    )
    assert told(nested) == "model.loss: a.B: Something new"


def test_keys_of_nested_parts_are_joined():
    message = (
        'Parser key "model.loss":\n'
        "  Problem with given class_path 'a.Outer':\n"
        '    Parser key "inner":\n'
        "      Problem with given class_path 'a.Inner':\n"
        '        Parser key "size":\n'
        "          Expected a <class 'int'>. Got value: big"
    )
    assert told(message) == "model.loss.init_args.inner.init_args.size: expected int, got 'big'"


def test_of_several_types_the_one_that_was_meant_is_explained():
    message = (
        'Parser key "trainer.callbacks":\n'
        "  Does not validate against any of the Union subtypes\n"
        "  Subtypes: [list[a.Callback], <class 'a.Callback'>, <class 'NoneType'>]\n"
        "  Errors:\n"
        "    - Expected a <class 'list'>\n"
        "    - Problem with given class_path 'a.Stop':\n"
        "        Option 'patienc' is not accepted\n"
        "    - Expected a <class 'NoneType'>\n"
        "  Given value type: <class 'dict'>\n"
        "  Given value: {'class_path': 'a.Stop',\n 'init_args': {'patienc': 1}}"
    )
    assert told(message) == "trainer.callbacks[Stop].init_args.patienc: Stop has no such setting"


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("<class 'float'>, <class 'torch.Tensor'>", "float, Tensor"),
        ("<class 'vsearch.data.splits.Split'>, <class 'NoneType'>", "Split, null"),
        (
            "typing.Literal['a', 'b'], list[a.b.C], <class 'NoneType'>",
            "'a', 'b', list[a.b.C], null",
        ),
    ],
)
def test_of_several_types_without_a_class_all_are_named(types, expected):
    message = (
        'Parser key "data.x":\n'
        "  Does not validate against any of the Union subtypes\n"
        f"  Subtypes: [{types}]\n"
        "  Errors:\n"
        "    - Expected a <class 'float'>\n"
        "    - Expected a something\n"
        "  Given value type: <class 'str'>\n"
        "  Given value: 3 pieces"
    )
    assert told(message) == f"data.x: expected {expected}, got '3 pieces'"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sed_everything", "no such setting; did you mean seed_everything?"),
        ("modell.loss.init_args.margin", "no such setting; did you mean model.loss?"),
        ("data.x", "no such setting; available: data.catalog"),
        (
            "cells.triplet",
            "belongs to a study: run `vsearch study FILE --config ...`, without its file here",
        ),
        ("x", f"no such setting; available: {', '.join(SETTINGS)}"),
    ],
)
def test_of_an_unknown_setting_the_nearest_or_all_are_told(name, reason):
    assert told(f"Subcommand 'fit' does not accept option '{name}'") == f"{name}: {reason}"
    assert told(f"unrecognized arguments: --{name} 3") == f"{name}: {reason}"


def test_of_very_many_settings_none_are_listed():
    many = [f"data.setting_{number}" for number in range(21)]
    assert (
        str(parse_error("Option 'data.x' is not accepted", (), many)) == "data.x: no such setting"
    )


def test_a_typo_in_init_args_is_named():
    about = (
        'Parser key "model.loss":\n'
        "  Problem with given class_path 'a.Loss':\n"
        "    Option '{}' is not accepted"
    )
    assert (
        told(about.format("init_arg.margin"))
        == "model.loss.init_arg: no such setting; did you mean init_args?"
    )
    twice = "model.loss.init_args.init_args.margin: Loss has no such setting"
    assert told(about.format("init_args.margin")) == twice
    assert (
        told(about.format("init_arg")) == "model.loss.init_args.init_arg: Loss has no such setting"
    )


def test_of_an_untyped_part_the_class_is_in_the_value():
    message = (
        'Parser key "model.loss":\n'
        "  Problem with given class_path 'a.Loss':\n"
        '    Parser key "distance":\n'
        "      Does not validate against any of the Union subtypes\n"
        "      Subtypes: [<class 'NoneType'>, Untyped]\n"
        "      Errors:\n"
        "        - Expected a <class 'NoneType'>\n"
        "        - Invalid subclass spec given as value for type Untyped: Option 'powr' is not "
        "accepted\n"
        "      Given value type: <class 'dict'>\n"
        "      Given value: {'class_path': 'a.Lp', 'init_args': {'powr': 2}}"
    )
    assert told(message) == "model.loss.init_args.distance.init_args.powr: Lp has no such setting"


def test_several_missing_settings_are_all_named():
    message = "the following arguments are required: fit.model.backbone, fit.model.loss"
    assert told(message) == "model.backbone, model.loss: vsearch needs this setting"


def test_of_an_untyped_part_only_the_key_is_known():
    message = (
        'Parser key "model.loss":\n'
        "  Problem with given class_path 'a.Loss':\n"
        '    Parser key "distance":\n'
        "      Invalid subclass spec given as value for type Any: Option 'powr' is not accepted"
    )
    assert (
        told(message)
        == "model.loss.init_args.distance.init_args.powr: the class has no such setting"
    )


def test_a_classs_settings_are_suggested_with_inherited_ones():
    import pytorch_metric_learning.distances  # noqa: F401 (its parameters are listed)

    lp = (
        "Problem with given class_path 'pytorch_metric_learning.distances.LpDistance':\n"
        "  Option 'powr' is not accepted"
    )
    assert told(lp) == "init_args.powr: LpDistance has no such setting; did you mean power?"


def test_a_reason_that_names_its_key_keeps_it():
    assert str(ConfigError("data", "`data.seed` is\nbad")) == "data.seed: is bad"
    assert str(ConfigError("data", "`data.seed`: bad")) == "data.seed: bad"
    assert str(ConfigError("data", "the seed\nis bad")) == "data: the seed is bad"
    assert str(ConfigError("model", "model.pth: no such file")) == "model: model.pth: no such file"
