import random
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vsearch.data.items import as_table
from vsearch.search.filters.columns import FilterError, Table
from vsearch.search.filters.grammar import DEPTH, LENGTH, VALUES, parse

ITEMS = pa.table(
    {
        "id": ["a1", "a2", "a3", "a4"],
        "label": ["shoe", "shoe", "T-shirt", "hat"],
        "gender": ["Women", "Men", None, "Women"],
        "price": [10.0, None, 30.0, 45.5],
        "base colour": ["Navy Blue", "Red", " ", "深蓝"],
        "brand": ["Levi's", 'The "Best"', "and", "R&D (new)"],
        "year": ["2012", "2013", "", "2015"],
        "stocked": [True, False, None, True],
    }
)


def ids(text: str, items: pa.Table = ITEMS) -> str:
    mask = parse(text).mask(items)
    assert mask.dtype == bool
    assert mask.shape == (len(items),)
    return " ".join(items["id"].filter(pa.array(mask)).to_pylist())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gender = Women", "a1 a4"),
        ("gender == Women and price < 30", "a1"),
        ("gender != Women", "a2"),
        ("not gender = Women", "a2"),
        ("gender is missing", "a3"),
        ("gender is not missing", "a1 a2 a4"),
        ("not (gender is missing or price is missing)", "a1 a4"),
        ("price < 30", "a1"),
        ("price <= 30.0", "a1 a3"),
        ("price > 3e1", "a4"),
        ("price >= +30", "a3 a4"),
        ("not price < 30", "a3 a4"),
        ("not not price < 30", "a1"),
        ("price != 30", "a1 a4"),
        ("price = -1", ""),
        ("price in (10, 45.5)", "a1 a4"),
        ("price not in (10, 45.5)", "a3"),
        ("year > 2012", "a2 a4"),
        ('year = "2012"', "a1"),
        ("year = 2012.0", "a1"),
        ("year is missing", "a3"),
        ('"base colour" in (Red, "Navy Blue")', "a1 a2"),
        ("'base colour' = 深蓝", "a4"),
        ("'base colour' is missing", "a3"),
        ("label = T-shirt or label = hat", "a3 a4"),
        ("brand = Levi's", "a1"),
        ("brand = 'Levi''s'", "a1"),
        ('brand = "The ""Best"""', "a2"),
        ('brand = "and"', "a3"),
        ("brand = 'R&D (new)'", "a4"),
        ("stocked = true", "a1 a4"),
        ("stocked = True", "a1 a4"),
        ("not stocked = true", "a2"),
        ("stocked is missing", "a3"),
        ("label = shoe or label = hat and price > 40", "a1 a2 a4"),
        ("(label = shoe or label = hat) and price > 40", "a4"),
        ("NOT label = shoe AND gender IS NOT MISSING", "a4"),
        ("gender=Women and(price<30)", "a1"),
        ("  gender\n=\tWomen  ", "a1 a4"),
        ("gender = women", ""),
        ("id in (a1, a2, a1, nowhere)", "a1 a2"),
    ],
)
def test_by_hand(text, found):
    assert ids(text) == found


def holds(tree: tuple, row: dict) -> bool | None:
    """Kleene's logic for one item, in plain Python; None: it can't be said."""
    kind, *parts = tree
    if kind == "missing":
        return row[parts[0]] is None
    if kind == "not":
        inner = holds(parts[0], row)
        return None if inner is None else not inner
    if kind in ("and", "or"):
        values = [holds(part, row) for part in parts[0]]
        decisive = kind == "or"
        return decisive if decisive in values else None if None in values else not decisive
    column, operator, wanted = parts
    value = row[column]
    if value is None:
        return None
    if operator in ("in", "not in"):
        return (value in wanted) == (operator == "in")
    return {
        "=": value == wanted,
        "!=": value != wanted,
        "<": operator == "<" and value < wanted,
        "<=": operator == "<=" and value <= wanted,
        ">": operator == ">" and value > wanted,
        ">=": operator == ">=" and value >= wanted,
    }[operator]


def written(tree: tuple, rng: random.Random) -> str:
    kind, *parts = tree
    if kind == "missing":
        return f"{parts[0]} is missing"
    if kind == "not":
        return f"not ({written(parts[0], rng)})"
    if kind in ("and", "or"):
        return (
            "("
            + f" {rng.choice([kind, kind.upper()])} ".join(written(part, rng) for part in parts[0])
            + ")"
        )
    column, operator, wanted = parts
    listed = operator in ("in", "not in")
    texts = [
        str(value) if column == "n" else f'"{value}"' for value in (wanted if listed else [wanted])
    ]
    return f"{column} {operator} " + (f"({', '.join(texts)})" if listed else texts[0])


def tree(rng: random.Random, depth: int = 3) -> tuple:
    kind = rng.choice(
        ["missing", "compare", "compare", "not", "and", "or"] if depth else ["missing", "compare"]
    )
    if kind == "missing":
        return kind, rng.choice("nt")
    if kind == "not":
        return kind, tree(rng, depth - 1)
    if kind in ("and", "or"):
        return kind, [tree(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    column = rng.choice("nt")
    operator = rng.choice(["=", "!=", "in", "not in"] + ["<", "<=", ">", ">="] * (column == "n"))
    values = [
        rng.randint(-2, 3) if column == "n" else rng.choice(["a", "b c", "é", "("])
        for _ in range(2)
    ]
    return kind, column, operator, values if operator in ("in", "not in") else values[0]


@pytest.mark.parametrize("numbers_as", ["Int64", float, "text"])
def test_masks_are_those_of_a_loop_over_the_items(numbers_as):
    rng = random.Random(0)
    n = [rng.choice([None, -2, -1, 0, 1, 2, 3]) for _ in range(60)]
    t = [rng.choice([None, "a", "b c", "é", "("]) for _ in range(60)]
    column = (
        pd.Series([None if v is None else str(v) for v in n])
        if numbers_as == "text"
        else pd.Series(n, dtype=numbers_as)
    )
    items = as_table(pd.DataFrame({"n": column, "t": t}))
    for _ in range(300):
        asked = tree(rng)
        expected = [holds(asked, {"n": a, "t": b}) is True for a, b in zip(n, t, strict=True)]
        assert parse(written(asked, rng)).mask(items).tolist() == expected, written(asked, rng)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 1, r"expected a column, 'not' or '\('; found the end"),
        ("gender", 7, "expected an operator after 'gender': = != < <= > >= in is; found the end"),
        ("gender Women", 8, "expected an operator"),
        ("gender = ", 9, "expected a value; found the end"),
        (
            "gender = and",
            10,
            r"expected a value; found 'and' \(a keyword: quote it to use it as a word\)",
        ),
        ("gender = Women Men", 16, "expected and, or, or the end; found 'Men'"),
        ("gender = (Women)", 10, "expected a value"),
        ("gender = 'Women", 10, "the quote ' is never closed"),
        ("gender ! Women", 8, "unexpected '!'"),
        ("gender is Women", 11, "expected missing or not missing"),
        ("gender is not Women", 15, "expected missing; found 'Women'"),
        ("gender not Women", 12, "expected in"),
        ("gender in Women", 11, r"expected \( and a list of values"),
        ("gender in ()", 12, "expected a value"),
        ("gender in (Women", 17, r"expected , or \); found the end"),
        ("(gender = Women", 16, r"expected and, or, or \)"),
        ("gender = Women)", 15, "expected and, or, or the end"),
        ("and gender = Women", 1, "expected a column"),
        ("price < 30 < 40", 12, "expected and, or, or the end"),
        (
            "colour = Red",
            1,
            r"no column 'colour' \(did you mean base colour\?\); "
            "the columns are id, label, gender, price, ",
        ),
        ("gender = Men or nowhere is missing", 17, "no column 'nowhere'; the columns are"),
        ("gender < 3", 1, "< compares numbers, but gender holds text, such as 'Men'"),
        ("stocked > 0", 1, "> compares numbers, but stocked holds text, such as 'false'"),
        ("price = cheap", 9, "price holds numbers, and 'cheap' isn't one"),
        ("price < nan", 9, "price holds numbers, and 'nan' isn't one"),
        ("price in (1, 1_000)", 14, "'1_000' isn't one"),
        ("__import__('os').system('true')", 11, "expected an operator"),
        ("@pd.compat.os.system('true') == 0", 21, "expected an operator"),
        ("price < __import__('os')", 19, "expected and, or, or the end"),
        ("gender = Women; drop table items", 17, "expected and, or, or the end"),
        ("gender.__class__ = x", 1, "no column 'gender.__class__'"),
    ],
)
def test_mistakes_are_told_with_their_place(text, position, message):
    with pytest.raises(FilterError, match=message) as caught:
        parse(text).mask(ITEMS)
    assert caught.value.position == position
    assert str(caught.value).startswith(f"filter, character {position}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["not " * 100_000 + "a = 1", "(" * 100_000, "a in (" + "1," * 5000, "x" * (LENGTH + 1)]
)
def test_a_hostile_length_is_refused(text):
    with pytest.raises(FilterError, match=f"longer than {LENGTH:,} characters"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not " * DEPTH + "price = 1", f"more than {DEPTH} nested brackets and nots"),
        ("(" * DEPTH + "price = 1" + ")" * DEPTH, f"more than {DEPTH} nested brackets and nots"),
        ("not(" * 900, f"more than {DEPTH} nested brackets and nots"),
        (f"price in ({', '.join('1' * (VALUES + 1))})", f"more than {VALUES} values"),
        (" or ".join(["price=1"] * (VALUES + 1)), f"more than {VALUES} values"),
    ],
)
def test_what_would_take_long_is_refused(text, message):
    with pytest.raises(FilterError, match=message):
        parse(text)


def test_the_limits_themselves_are_allowed():
    assert ids("not " * (DEPTH - 2) + "price = 10") == "a1"
    assert ids("(" * (DEPTH - 1) + "price = 10" + ")" * (DEPTH - 1)) == "a1"
    assert ids(f"price in ({', '.join(['10'] * VALUES)})") == "a1"


def test_random_text_never_raises_anything_else():
    rng = random.Random(0)
    words = [
        "gender",
        "price",
        "and",
        "or",
        "not",
        "in",
        "is",
        "missing",
        "(",
        ")",
        ",",
        "=",
        "!=",
        "<",
        ">=",
        "30",
    ]
    words += [
        "'",
        '"',
        "Women",
        "!",
        "\x00",
        "é",
        "\n",
        "=",
        "==",
        "1e999",
        "9" * 400,
        "\ud800",
        "a'b",
        "--",
        "\\",
        "",
    ]
    readable = 0
    for _ in range(20_000):
        text = rng.choice([" ", ""]).join(rng.choices(words, k=rng.randint(0, 9)))
        try:
            parse(text).mask(ITEMS)
            readable += 1
        except FilterError:
            pass
    assert readable > 10
    for _ in range(5000):
        with pytest.raises(FilterError):
            parse("".join(chr(rng.randrange(0x3000)) for _ in range(rng.randint(0, 12)))).mask(
                ITEMS
            )


@pytest.mark.parametrize(
    "text", ["gender = Women", "gender is missing", "not price < 3", "year > 2 or id in (a, b)"]
)
def test_no_items(text):
    assert parse(text).mask(ITEMS[:0]).tolist() == []
    nothing = pa.table({name: pa.nulls(0) for name in ITEMS.column_names})
    assert parse(text).mask(nothing).tolist() == []


def test_a_value_that_no_item_has_is_told_with_those_that_there_are():
    asked = parse(
        "gender = Woman and (price in (1, 2) or stocked = maybe) and label = shoe and id < 3"
    )
    assert asked.unmet(ITEMS) == [
        "no item has gender = Woman; it has Men, Women",
        "no item has price = 1 or 2; it has 10.0, 30.0, 45.5",
        "no item has stocked = maybe; it has false, true",
    ]
    assert parse("not gender = Woman and gender != Man").unmet(ITEMS) == []
    many = pa.table({"id": [f"i{n}" for n in range(1200)]})
    assert parse("id = x").unmet(many) == ["no item has id = x; it has 1,200 others"]
    assert parse("id = x").unmet(many[:0]) == ["no item has id = x; it has no value"]


def test_a_table_is_kept():
    table = Table(ITEMS)
    assert parse("gender = Men").mask(table).tolist() == [False, True, False, False]
    assert parse("gender = Man").unmet(table) == parse("gender = Man").unmet(ITEMS)


def test_many_items_take_a_moment():
    rng = np.random.default_rng(0)
    items = pa.table(
        {"gender": rng.choice(["Men", "Women"], 300_000), "price": rng.random(300_000)}
    )
    started = time.perf_counter()
    assert parse("gender = Women and price < 0.5").mask(items).mean() == pytest.approx(
        0.25, abs=0.01
    )
    assert time.perf_counter() - started < 5
