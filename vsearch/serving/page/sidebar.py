from dataclasses import replace

import streamlit as st

from vsearch.serving.messages import Facet
from vsearch.serving.page.search import MOST_K, Query
from vsearch.serving.page.session import filters

FEW = 12  # different numbers that are offered one by one


def refine(query: Query, facets: list[Facet]) -> Query:
    """Draw what narrows a search, set as in `query`, and return the search with what is set now."""
    st.header("Refine")
    k = st.slider("Results", 1, MOST_K, query.k, key=f"k{filters()}")
    percent = st.slider(
        "Minimum similarity",
        0,
        100,
        query.min_percent,
        format="%d %%",
        key=f"min{filters()}",
        help="0: whatever is nearest",
    )
    among, between = {}, {}
    for facet in facets:
        if facet.kind == "text" or 0 < len(facet.values) <= FEW:
            if chosen := _values(facet, query.among.get(facet.column, ())):
                among[facet.column] = chosen
        elif facet.low is not None and facet.high is not None and facet.low < facet.high:
            chosen_range = _range(facet, facet.low, facet.high, query.between.get(facet.column))
            if chosen_range != (facet.low, facet.high):
                between[facet.column] = chosen_range
    return replace(query, k=k, min_percent=percent, among=among, between=between)


def _values(facet: Facet, chosen: tuple[str, ...]) -> tuple[str, ...]:
    counts = dict(facet.values)
    rare = [
        value for value in chosen if value not in counts
    ]  # of a link: it counts, though it is not among the listed
    return tuple(
        st.multiselect(
            _title(facet.column),
            [*counts, *rare],
            default=[*chosen],
            format_func=lambda value: f"{value} ({counts[value]:,})" if value in counts else value,
            key=f"in{filters()}.{facet.column}",
            placeholder="All",
        )
    )


def _range(
    facet: Facet, low: float, high: float, chosen: tuple[float, float] | None
) -> tuple[float, float]:
    start = (
        (low, high)
        if chosen is None
        else (min(max(chosen[0], low), high), max(min(chosen[1], high), low))
    )
    found: tuple[float, float] = st.slider(
        _title(facet.column),
        low,
        high,
        start,
        key=f"between{filters()}.{facet.column}",
        help=f"{facet.missing:,} items without a value are left out once this is narrowed"
        if facet.missing
        else None,
    )
    return found


def _title(column: str) -> str:
    return column[:1].upper() + column[1:]
