import numpy as np
import pyarrow as pa
import pytest

from vsearch.search.filters.grammar import parse
from vsearch.serving.page.search import Search

ITEMS = pa.table(
    {"colour": ["red", 'so "called"', "blue) or (x"], "price (EUR)": [1.5, 20.0, 300.0]}
)


def test_a_url_says_the_same_search_again():
    search = Search(
        like=("a", "b/c"),
        unlike=("d&e",),
        k=24,
        min_percent=70,
        among={"in": ("x", "ä=?")},
        between={"p": (0.1, 2e6)},
        expand=True,
        item="a b&c",
    )
    assert Search.from_url(search.to_url()) == search
    assert Search.from_url({}) == Search()
    assert Search().to_url() == {}


@pytest.mark.parametrize(
    ("params", "k", "percent"),
    [
        ({"k": ["no"], "min": ["inf"]}, 12, 0),
        ({"k": ["1e9"], "min": ["-5"]}, 60, 0),
        ({"k": ["0"], "min": ["101"]}, 1, 100),
        ({"k": ["nan"], "from.p": ["2"], "to.p": ["1"]}, 12, 0),
        ({"from.p": ["1"]}, 12, 0),
    ],
)
def test_a_url_edited_badly_leaves_the_rest(params, k, percent):
    search = Search.from_url(params)
    assert (search.k, search.min_percent, search.between) == (k, percent, {})


def test_an_example_is_for_or_against_once():
    assert Search.from_url({"like": ["a", "", "a", "b"], "unlike": ["b", "c", "c"]}) == Search(
        ("a", "b"), ("c",)
    )
    search = Search().more("a").more("b").less("a")
    assert (search.like, search.unlike) == (("b",), ("a",))
    assert search.more("a").like == ("b", "a")
    assert search.without("b").like == ()
    assert Search(("a",), ("b",)).in_words(with_photo=True) == "your photo, like a, unlike b"
    assert Search(item="a").more("b").item == Search(item="a").less("b").item == ""
    assert Search().more("a").more("a").like == ("a",)


@pytest.mark.parametrize(
    ("search", "rows"),
    [
        (Search(), [0, 1, 2]),
        (Search(among={"colour": ("red", 'so "called"')}), [0, 1]),
        (Search(among={"colour": ("blue) or (x",)}), [2]),
        (Search(among={"colour": ()}), [0, 1, 2]),
        (Search(between={"price (EUR)": (1.5, 20)}), [0, 1]),
        (Search(among={"colour": ("red",)}, between={"price (EUR)": (2, 20)}), []),
    ],
)
def test_its_filter_lets_through_what_was_chosen(search, rows):
    mask = [True] * 3 if search.where is None else parse(search.where).mask(ITEMS)
    assert np.flatnonzero(mask).tolist() == rows
