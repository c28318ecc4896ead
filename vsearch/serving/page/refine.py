from dataclasses import replace

import streamlit as st

from vsearch.serving.messages import Facet
from vsearch.serving.page.search import MOST_K, Search
from vsearch.serving.page.session import filters
from vsearch.serving.page.texts import plain

FEW = 12  # up to this many different numbers are offered one by one


def refine(search: Search, facets: list[Facet]) -> Search:
    """Draw the filters and options of `search`; return it with their current values."""
    k = st.slider("Results", 1, MOST_K, search.k, key=f"k{filters()}")
    percent = st.slider(
        "Minimum similarity",
        0,
        100,
        search.min_percent,
        format="%d %%",
        key=f"min{filters()}",
        help="0: any similarity",
    )
    expand = st.checkbox(
        "Search twice",
        search.expand,
        key=f"expand{filters()}",
        help="The second search uses the best hits of the first to find more like them",
    )
    among = {}
    between = {}
    for facet in facets:
        column = facet.column
        if facet.kind == "text" or 0 < len(facet.values) <= FEW:
            values = _values(facet, search.among.get(column, ()))
            if values:
                among[column] = values
        elif facet.low is not None and facet.high is not None and facet.low < facet.high:
            whole = (facet.low, facet.high)
            ends = _range(facet, whole, search.between.get(column, whole))
            if ends != whole:
                between[column] = ends
    return replace(search, k=k, min_percent=percent, among=among, between=between, expand=expand)


def _values(facet: Facet, chosen: tuple[str, ...]) -> tuple[str, ...]:
    counts = dict(facet.values)
    # a link may hold values that aren't among the frequent ones
    rare = [value for value in chosen if value not in counts]
    found = st.multiselect(
        _title(facet.column),
        [*counts, *rare],
        default=[*chosen],
        format_func=lambda value: f"{value} ({counts[value]:,})" if value in counts else value,
        key=f"in{filters()}.{facet.column}",
        placeholder="All",
    )
    return tuple(found)


def _range(
    facet: Facet, whole: tuple[float, float], chosen: tuple[float, float]
) -> tuple[float, float]:
    low, high = whole
    start = (min(max(chosen[0], low), high), max(min(chosen[1], high), low))
    left_out = f"Narrowing this leaves out {facet.missing:,} items without a value"
    found: tuple[float, float] = st.slider(
        _title(facet.column),
        low,
        high,
        start,
        key=f"between{filters()}.{facet.column}",
        help=left_out if facet.missing else None,
    )
    return found


def _title(column: str) -> str:
    return plain(column[:1].upper() + column[1:])
