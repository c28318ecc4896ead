import json

import pytest

from vsearch.optional_packages import require


def test_what_is_there_is_imported():
    assert require("json", "anything") is json


def test_what_is_missing_is_named_with_its_extra():
    with pytest.raises(
        ImportError,
        match=r"no_such_package can't be imported .*`uv sync --extra some-extra` installs",
    ):
        require("no_such_package", "some-extra")
