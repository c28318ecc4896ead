"""The page, which Streamlit runs. It talks only to the service, over HTTP."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from vsearch.serving.client.failures import ServiceError
from vsearch.serving.messages import Info, SearchReply
from vsearch.serving.page.inputs import (
    Photo,
    choose_photo,
    choose_region,
    choose_text,
    random_item,
    show_inputs,
)
from vsearch.serving.page.item import show_item
from vsearch.serving.page.pictures import icon
from vsearch.serving.page.quality import show_quality
from vsearch.serving.page.recent import remember, show_recent
from vsearch.serving.page.refine import refine
from vsearch.serving.page.results import show_results
from vsearch.serving.page.search import Search
from vsearch.serving.page.service import known, service, show_failure
from vsearch.serving.page.session import begin_anew, put, share, start

HERE = Path(__file__).parent


def main() -> None:
    """Draw the page."""
    st.set_page_config("vsearch", page_icon=icon(), layout="wide")
    look = (HERE / "look.css").read_text()
    give = (HERE / "give.js").read_text()
    # one element: otherwise the title shows before its style
    top = f"<style>{look}</style><h1>Search by photo</h1><script>{give}</script>"
    st.html(top, unsafe_allow_javascript=True)
    try:
        served = known()
        searching, measured = st.tabs(["Search", "Quality"], key="tab", on_change="rerun")
        with measured:
            if measured.open:
                show_quality(served)
        with searching:
            _show_search(served, searching.open)
    except ServiceError as error:
        show_failure(error, "page")


def _show_search(served: Info, open_tab: bool | None) -> None:
    with st.container(key="page", horizontal=True):
        with st.container(key="query", gap="small", width=256):
            search, photo = _query(start(), served)
        with st.container(key="found", gap="small"):
            _show_found(search, photo, served, open_tab)


def _query(search: Search, served: Info) -> tuple[Search, Photo | None]:
    """Draw the query and its settings; return their current state."""
    with st.container(key="source"):
        data = choose_photo(search)
        search = choose_text(search) if served.text else replace(search, text="")
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        if st.button("Random item", icon=":material/shuffle:"):
            _random(search, served)
        begun = data is not None or search.like or search.unlike or search.text
        if begun and st.button("Start over", key="start-over", icon=":material/restart_alt:"):
            begin_anew()
            st.rerun()
        show_recent()
        st.toggle("Change", key="change")  # on phones: look.css
    inputs = st.container()  # drawn once the settings below are known
    with st.container(key="refine", gap="small"):
        photo = None if data is None else choose_region(data, search)
        search = refine(search, served.facets)
    with inputs:
        show_inputs(search, photo, served)
    return search, photo


def _show_found(search: Search, photo: Photo | None, served: Info, open_tab: bool | None) -> None:
    share(search)
    if search.item and open_tab:
        show_item(search, served)
        return
    if photo is None and not search.like and not search.text:
        begin = f"Add a photo{' or words' if served.text else ''}, or begin with a random item."
        st.info(f"Search {served.items:,} items. {begin}")
        return
    if not open_tab:  # everything above is drawn anyway, or Streamlit forgets it
        return

    try:
        with st.spinner("Searching"):
            reply = _ask(search, photo)
    except ServiceError as error:
        show_failure(error, "search")
        return
    show_results(reply, search, photo, served)
    remember(search, photo)


def _random(search: Search, served: Info) -> None:
    try:
        put(random_item(search, served), keep_photo=False)
    except ServiceError as error:  # shown here, so that the rest of the page is drawn and kept
        show_failure(error, "random")
        return
    st.rerun()


def _ask(search: Search, photo: Photo | None) -> SearchReply:
    if photo is None:
        return service().search(search.like, search.unlike, **search.options)
    if not (search.like or search.unlike):
        return service().search_photo(photo.data, photo.region, parts=photo.parts, **search.options)
    embedding = service().embed(photo.data, photo.region).embedding
    return service().search(search.like, search.unlike, embedding, **search.options)


main()
