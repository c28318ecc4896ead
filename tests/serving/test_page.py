import subprocess
import sys
from contextlib import contextmanager
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from small_service import encoded, picture
from streamlit.testing.v1 import AppTest

from vsearch.cli.commands.ui import PAGE
from vsearch.models.score_maps import ScoreMaps
from vsearch.serving.client.client import Client
from vsearch.serving.client.failures import Refused, Unreachable
from vsearch.serving.messages import Problem
from vsearch.serving.page import service as page_service
from vsearch.serving.page.inputs import NO_PHOTO
from vsearch.serving.page.results import UNKNOWN, columns


@pytest.fixture
def explaining(monkeypatch):
    """A network that says it can explain; to be asked for before `page`, whose service finds out
    when it starts.
    """
    parts = np.array([[0.25, 0.25], [0.5, -0.1]], np.float32)
    monkeypatch.setattr("vsearch.serving.api.served_bundle.ServedBundle.explains", True)
    monkeypatch.setattr("vsearch.serving.api.served_bundle.ServedBundle.places", (7, 7))
    monkeypatch.setattr(
        "vsearch.serving.api.explain_routes.split_score",
        lambda runtime, query, item: ScoreMaps(0.9, parts, parts),
    )


@pytest.fixture
def page(url, monkeypatch):
    monkeypatch.setenv("VSEARCH_SERVICE", url)
    for cached in (page_service.service, page_service.info, page_service._picture):
        cached.clear()
    return AppTest.from_file(str(PAGE), default_timeout=20)


def test_only_a_part_of_the_photo_is_searched_with(page):
    both = Image.new("RGB", (28, 20))
    both.paste(picture(3), (0, 0))
    both.paste(picture(4), (14, 0))
    page.run().file_uploader[0].upload("two.png", encoded(both), "image/png").run()
    page.slider(key="across").set_value((50, 100)).run()
    assert not page.exception
    assert first(page) == "p4"
    assert "**100.0 %** l1" in [text.value for text in page.markdown]


def test_less_like_a_result_moves_it_away_from_a_photo(page):
    page.run().file_uploader[0].upload("p3.png", encoded(picture(3)), "image/png").run()
    page.button(key="less-p3").click().run()
    assert not page.exception
    assert "Less like p3" in [caption.value for caption in page.caption]
    assert page.query_params["unlike"] == "p3"
    assert "more-p3" not in [button.key for button in page.button]


def test_why_shows_both_photos_and_the_score(explaining, page):
    page.query_params["like"] = "p3"
    page.run()
    page.button(key=f"why-{first(page)}").click().run()
    assert not page.exception
    assert any(
        text.value.startswith("**90.0 % similar.**") and "2 x 2 parts" in text.value
        for text in page.markdown
    )


def test_why_tells_that_it_compares_with_one_example_of_several(explaining, page):
    page.query_params["like"] = ["p3", "p4"]
    page.run()
    page.button(key=f"why-{first(page)}").click().run()
    assert "Your example p3 alone is compared here." in page.caption[-1].value
    best = page.markdown[1].value.split("**")[1]
    assert f"{best} similar" in page.caption[-1].value


def test_why_is_left_out_where_places_are_few(explaining, page, monkeypatch):
    page.query_params["like"] = "p3"
    assert first_why(page.run())
    shown = page_service.info().model_copy(update={"places": (2, 2)})
    monkeypatch.setattr(Client, "info", lambda self: shown)
    page_service.info.clear()
    page.run()
    assert not first_why(page)


def first_why(page):
    return [button.key for button in page.button if (button.key or "").startswith("why-")]


def test_an_item_has_a_page_with_a_link_of_its_own(page):
    page.query_params["item"] = "p/9"
    page.run()
    assert not page.exception
    assert page.table[0].value.set_index("what")["value"].to_dict() == {
        "id": "p/9",
        "label": "l0",
        "price": "9.0",
        "colour": "blue",
    }
    similar = first(page)
    assert similar != "p/9"
    page.button(key=f"details-{similar}").click().run()
    assert page.query_params["item"] == similar
    page.button(key=f"more-{first(page)}").click().run()
    assert "item" not in page.query_params


def test_an_item_that_is_gone_is_told_of_and_left(page):
    page.query_params["item"] = "gone"
    page.query_params["like"] = "p3"
    page.run()
    assert "This item no longer exists." in page.error[0].value
    next(button for button in page.button if button.label == "Back to the search").click().run()
    assert not page.error
    assert dict(page.query_params) == {"like": "p3"}


def test_results_are_downloaded_as_a_table(page, monkeypatch):
    tables = []
    monkeypatch.setattr(
        "streamlit.download_button", lambda label, data, *given, **more: tables.append(data)
    )
    page.query_params["like"] = "p3"
    page.run()
    header, *rows = tables[0].splitlines()
    assert header == "query,rank,id,label,similarity_percent,probability,path,colour,price"
    assert len(rows) == 12
    assert rows[0].startswith(f"like p3,1,{first(page)},")


def test_a_recent_search_comes_back_with_its_photo(page):
    page.run().file_uploader[0].upload("p3.png", encoded(picture(3)), "image/png").run()
    next(button for button in page.button if button.label == "Random item").click().run()
    page.button(key="recent-0").click().run()
    assert not page.exception
    assert first(page) == "p3"
    assert not page.query_params
    next(button for button in page.button if button.label == "Start over").click().run()
    assert "Add a photo" in page.info[0].value


def test_a_photo_that_is_not_there_is_missed_in_words(explaining, page, monkeypatch):
    gone = Refused(
        Problem(
            title="Not Found", status=404, detail="This item's photo is missing", request_id="r1"
        )
    )
    monkeypatch.setattr(Client, "image", Mock(side_effect=gone))
    page.query_params["like"] = "p3"
    page.run()
    assert [caption.value for caption in page.caption].count(
        NO_PHOTO
    ) == 13  # the example and 12 results
    page.button(key=f"why-{first(page)}").click().run()
    assert "one of them is missing" in page.info[-1].value
    assert not page.error


@pytest.mark.parametrize(("results", "in_a_row"), [(12, 6), (10, 5), (13, 7), (8, 4), (60, 6)])
def test_the_last_row_has_the_fewest_gaps(results, in_a_row):
    assert columns(results) == in_a_row


def test_it_says_where_no_label_s_probability_is_known(page, monkeypatch):
    page.query_params["like"] = "p3"
    assert UNKNOWN not in [caption.value for caption in page.run().caption]
    shown = page_service.info().model_copy(update={"calibration": {"threshold": 0.9}})
    monkeypatch.setattr(Client, "info", lambda self: shown)
    page_service.info.clear()
    assert UNKNOWN in [caption.value for caption in page.run().caption]


def test_an_empty_file_is_told_of(page):
    page.run().file_uploader[0].upload("empty.png", b"", "image/png").run()
    assert "the file is empty" in page.error[0].value


def test_start_over_takes_the_filters_out_too(page):
    page.query_params["like"] = "p3"
    page.run()
    page.multiselect(key="in1.colour").set_value(["red"]).run()
    next(button for button in page.button if button.label == "Start over").click().run()
    assert page.multiselect(key="in2.colour").value == []
    assert not page.query_params


def test_the_quality_tab_says_it_shortly(page, monkeypatch):
    served = page_service.Client(page_service.service_url()).info()
    told = {"threshold": 0.9073441624641418, "error_rate": 0.1, "promise": "At most 10 %."}
    backbone = {"class_path": "some.TorchvisionBackbone", "init_args": {"name": "resnet50"}}
    metrics = {
        "precision_at_1": {"micro": {"value": 0.8, "low": 0.7, "high": 0.9}},
        "map_at_r": {"micro": {"value": 0.5}},
    }
    shown = served.model_copy(
        update={
            "calibration": told,
            "model": {"backbone": backbone},
            "quality": {"metrics": {"trained": metrics}},
        }
    )
    monkeypatch.setattr(Client, "info", lambda self: shown)
    page.session_state["tab"] = "Quality"
    page.run()
    assert not page.exception
    assert [metric.label for metric in page.metric] == ["precision@1", "MAP@R"]
    assert page.table[0].value.set_index("metric")["trained"].to_dict() == {
        "precision@1": "0.800 [0.700, 0.900]",
        "MAP@R": "0.500",
    }
    calibrated, what = (
        table.value.set_index("what")["value"].to_dict() for table in page.table[-2:]
    )
    assert calibrated == {"threshold": "0.9073", "error rate": "0.1", "promise": "At most 10 %."}
    assert what["network"] == "resnet50"


def test_nothing_is_searched_under_the_other_tab_and_nothing_is_lost(page, monkeypatch):
    searches = []
    monkeypatch.setattr(
        Client, "search_photo", lambda *given, **wishes: searches.append(wishes) or 1 / 0
    )
    page.session_state["tab"] = "Quality"
    page.run().file_uploader[0].upload("p3.png", encoded(picture(3)), "image/png").run()
    assert not page.exception
    assert not searches
    assert page.file_uploader[0].value.name == "p3.png"


def first(page):
    return next(
        button.key.removeprefix("more-") for button in page.button if button.label == "More like 1"
    )


def test_an_example_that_is_gone_can_be_taken_out(page):
    page.query_params["like"] = "gone"
    page.run()
    assert "This item no longer exists." in page.error[0].value
    page.button(key="remove-gone").click().run()
    assert not page.error
    assert not page.exception


@pytest.mark.parametrize(("name", "value"), [("like", "x" * 600), ("in.colour", "x" * 3000)])
def test_a_link_that_asks_for_too_much_is_told_so(page, name, value):
    page.query_params["like"] = "p3"
    page.query_params[name] = value
    page.run()
    assert not page.exception
    assert "The service can't use this." in page.error[0].value


def test_without_a_service_it_says_so_and_how_to_start_one(page, monkeypatch):
    monkeypatch.setenv("VSEARCH_SERVICE", "http://127.0.0.1:9")
    page_service.service.clear()
    page.run()
    assert "The service can't be reached." in page.error[0].value
    assert "python -m vsearch serve" in page.error[0].value
    assert [button.label for button in page.button] == ["Try again"]


def test_the_page_needs_neither_lightning_nor_torch():
    code = (
        "import sys, vsearch.serving.client.client, vsearch.serving.page.quality, "
        "vsearch.serving.page.results\n"
        "import vsearch.serving.page.refine, vsearch.cli.commands.ui\n"
        "print([name for name in ('torch', 'lightning', 'faiss', 'fastapi') if name in "
        "sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@contextmanager
def away():
    """A time in which the service can't be reached."""
    page_service.info.clear()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("info", "search", "search_photo", "embed", "items"):
            patch.setattr(Client, name, Mock(side_effect=Unreachable("no answer")))
        yield
    page_service.info.clear()


def test_photo_and_filters_outlive_a_service_that_is_away(page):
    page.run().file_uploader[0].upload("p3.png", encoded(picture(3)), "image/png").run()
    page.multiselect(key="in1.colour").set_value(["red"]).run()
    with away():
        page.button(key=f"more-{first(page)}").click().run()
        assert "The service can't be reached." in page.error[0].value
        next(button for button in page.button if button.label == "Random item").click().run()
        assert not page.exception
        assert page.multiselect(key="in1.colour").value == ["red"]
    page.button(key="again-search").click().run()
    assert not page.error
    assert page.multiselect(key="in1.colour").value == ["red"]
    assert page.file_uploader[0].value.name == "p3.png"


def test_the_browsers_back_brings_back_examples_and_filters(page):
    page.query_params["like"] = "p3"
    page.run()
    page.multiselect(key="in1.colour").set_value(["red"]).run()
    page.button(key=f"more-{first(page)}").click().run()
    assert len(page.query_params["like"]) == 2
    del page.query_params["in.colour"]
    page.query_params["like"] = ["p3"]
    page.run()
    assert page.multiselect(key="in2.colour").value == []
    assert [caption.value for caption in page.caption if "More like" in caption.value] == [
        "More like p3"
    ]
    assert dict(page.query_params) == {"like": "p3"}


def test_of_several_keys_the_page_sends_the_first(page, monkeypatch):
    monkeypatch.setenv("VSEARCH_API_KEY", " one, two")
    page_service.service.clear()
    assert page_service.service()._http.headers["X-API-Key"] == "one"
