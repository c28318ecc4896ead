import pandas as pd
import pytest

from vsearch.search.filters.grammar import parse
from vsearch.serving.page.search import Query

ITEMS = pd.DataFrame(
    {"colour": ["red", 'so "called"', "blue) or (x"], "price (EUR)": [1.5, 20.0, 300.0]}
)


def test_a_url_says_the_same_search_again():
    query = Query(
        like=("a", "b/c"),
        unlike=("d&e",),
        k=24,
        min_percent=70,
        among={"in": ("x", "ä=?")},
        between={"p": (0.1, 2e6)},
    )
    assert Query.from_url(query.to_url()) == query
    assert Query.from_url({}) == Query()
    assert Query().to_url() == {}


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
    query = Query.from_url(params)
    assert (query.k, query.min_percent, query.between) == (k, percent, {})


def test_an_example_is_for_or_against_once():
    assert Query.from_url({"like": ["a", "", "a", "b"], "unlike": ["b", "c", "c"]}) == Query(
        ("a", "b"), ("c",)
    )
    query = Query().more("a").more("b").less("a")
    assert (query.like, query.unlike) == (("b",), ("a",))
    assert query.more("a").like == ("b", "a")
    assert query.without("b").like == ()
    assert Query().more("a").more("a").like == ("a",)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (Query(), [0, 1, 2]),
        (Query(among={"colour": ("red", 'so "called"')}), [0, 1]),
        (Query(among={"colour": ("blue) or (x",)}), [2]),
        (Query(among={"colour": ()}), [0, 1, 2]),
        (Query(between={"price (EUR)": (1.5, 20)}), [0, 1]),
        (Query(among={"colour": ("red",)}, between={"price (EUR)": (2, 20)}), []),
    ],
)
def test_its_filter_lets_through_what_was_chosen(query, rows):
    mask = [True] * 3 if query.where is None else parse(query.where).mask(ITEMS)
    assert [*pd.Series(range(3))[mask]] == rows
