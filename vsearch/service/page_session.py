from dataclasses import replace

import streamlit as st

from vsearch.service.page_query import Query

START, EXAMPLES, TURN = "start", "examples", "turn"


def start() -> Query:
    """Return the search that the page was opened with, its examples as they are now."""
    if START not in st.session_state:
        params = {name: st.query_params.get_all(name) for name in st.query_params}
        st.session_state[START] = Query.from_url(params)
        st.session_state[EXAMPLES] = st.session_state[START]
    now: Query = st.session_state[EXAMPLES]
    opened: Query = st.session_state[START]
    return replace(opened, like=now.like, unlike=now.unlike)


def put(query: Query, keep_photo: bool = True) -> None:
    """Search with these examples from now on; called by buttons."""
    st.session_state[EXAMPLES] = query
    if not keep_photo:
        st.session_state[TURN] = turn() + 1


def turn() -> int:
    """Return a number for the keys of the widgets that hold a photo: another one empties them."""
    return int(st.session_state.get(TURN, 0))


def share(query: Query) -> None:
    """Write the search into the page's URL."""
    st.query_params.from_dict(query.to_url())
