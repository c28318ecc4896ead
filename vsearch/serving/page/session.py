import streamlit as st

from vsearch.serving.page.search import Query

NOW, SHARED, TURN, FILTERS = "now", "shared", "turn", "filters"


def start() -> Query:
    """Return the search as it stands: as the page's address has it at first, and after the
    browser's Back.
    """
    opened = NOW not in st.session_state
    if opened or st.session_state[SHARED] not in (None, _address()):
        st.session_state[NOW] = Query.from_url(_params())
        st.session_state[SHARED] = _address()
        st.session_state[FILTERS] = filters() + 1
    now: Query = st.session_state[NOW]
    return now


def put(query: Query, keep_photo: bool = True) -> None:
    """Search with these examples from now on; called by buttons."""
    st.session_state[NOW] = query
    st.session_state[SHARED] = (
        None  # what the address says does not count before it is written again
    )
    if not keep_photo:
        st.session_state[TURN] = turn() + 1


def forget() -> None:
    """Begin anew: without examples, photo and filters."""
    put(Query(), keep_photo=False)
    st.session_state[FILTERS] = filters() + 1


def turn() -> int:
    """Return a number for the keys of the widgets that hold a photo: another one empties them."""
    return int(st.session_state.get(TURN, 0))


def filters() -> int:
    """Return a number for the keys of the widgets that refine: another one sets them as the search
    has it.
    """
    return int(st.session_state.get(FILTERS, 0))


def share(query: Query) -> None:
    """Keep the search, and write it into the page's address if that has another one: each writing
    is a step of Back.
    """
    st.session_state[NOW], st.session_state[SHARED] = query, query.to_url()
    if _address() != query.to_url():
        st.query_params.from_dict(query.to_url())


def _params() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _address() -> dict[str, list[str]]:
    return Query.from_url(_params()).to_url()
