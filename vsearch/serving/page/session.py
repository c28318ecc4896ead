import streamlit as st

from vsearch.serving.page.search import Search

NOW, SHARED, TURN, FILTERS, KEPT = "now", "shared", "turn", "filters", "kept"


def start() -> Search:
    """Return the current search.

    At first, and after the browser's Back, it comes from the page's address.
    """
    opened = NOW not in st.session_state
    if opened or st.session_state[SHARED] not in (None, _address()):
        st.session_state[NOW] = Search.from_url(_params())
        st.session_state[SHARED] = _address()
        st.session_state[FILTERS] = filters() + 1
    search: Search = st.session_state[NOW]
    return search


def put(search: Search, keep_photo: bool = True, photo: bytes | None = None) -> None:
    """Make this the search, maybe with another photo; called by buttons."""
    st.session_state[NOW] = search
    st.session_state[SHARED] = None  # ignore the address until it is written again
    if not keep_photo:
        st.session_state[TURN] = turn() + 1
        st.session_state[KEPT] = photo


def begin_anew() -> None:
    """Remove examples, photo and filters."""
    put(Search(), keep_photo=False)
    st.session_state[FILTERS] = filters() + 1


def turn() -> int:
    """Return a number for the keys of photo widgets: a new number empties them."""
    return int(st.session_state.get(TURN, 0))


def filters() -> int:
    """Return a number for the keys of filter widgets: a new number resets them."""
    return int(st.session_state.get(FILTERS, 0))


def share(search: Search) -> None:
    """Keep the search, and write it into the page's address: Back undoes each change."""
    url = search.to_url()
    st.session_state[NOW] = search
    st.session_state[SHARED] = url
    if _address() != url:
        st.query_params.from_dict(url)


def _params() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _address() -> dict[str, list[str]]:
    return Search.from_url(_params()).to_url()
