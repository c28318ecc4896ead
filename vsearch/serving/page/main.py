"""The page: `python -m vsearch ui` runs it with Streamlit. It speaks HTTP to the service only."""

import streamlit as st

from vsearch.serving.client.failures import ServiceError
from vsearch.serving.messages import Info, SearchReply
from vsearch.serving.page.inputs import Photo, choose, cut, random_item, wanted
from vsearch.serving.page.pictures import icon
from vsearch.serving.page.quality import quality
from vsearch.serving.page.results import results
from vsearch.serving.page.search import Query
from vsearch.serving.page.service import known, service, tell
from vsearch.serving.page.session import forget, put, share, start
from vsearch.serving.page.sidebar import refine


def main() -> None:
    """Draw the page."""
    st.set_page_config("vsearch", page_icon=icon(), layout="wide")
    st.title("Search by photo")
    try:
        found = known()
        searching, measured = st.tabs(["Search", "Quality"], key="tab", on_change="rerun")
        with measured:
            if measured.open:
                quality(found)
        with searching:
            _search(found, searching.open)
    except ServiceError as error:
        tell(error, "page")


def _search(found: Info, seen: bool | None) -> None:
    query = start()
    data = choose()
    with st.container(horizontal=True):
        if st.button("Random item", icon=":material/shuffle:"):
            _random(query, found)
        if (data is not None or query.like or query.unlike) and st.button(
            "Start over", icon=":material/restart_alt:"
        ):
            forget()
            st.rerun()
    photo = None if data is None else cut(data)
    with st.sidebar:
        query = refine(query, found.facets)
    wanted(query, photo, found)
    share(query)
    if photo is None and not query.like:
        st.info(
            f"{found.items:,} items can be searched. Give a photo, or begin with a random item."
        )
        return
    if (
        not seen
    ):  # under the other tab; all the rest is drawn, or Streamlit would forget photo and filters
        return
    try:
        with st.spinner("Searching"):
            reply = _found(query, photo)
    except ServiceError as error:
        tell(error, "search")
        return
    results(reply, query, photo, found)
    st.caption(_shared(photo))


def _random(query: Query, found: Info) -> None:
    try:
        put(random_item(query, found), keep_photo=False)
    except (
        ServiceError
    ) as error:  # told here: Streamlit forgets a photo and filters that are not drawn
        tell(error, "random")
        return
    st.rerun()


def _found(query: Query, photo: Photo | None) -> SearchReply:
    if photo is None:
        return service().search(query.like, query.unlike, **query.wishes)
    if not (query.like or query.unlike):
        return service().search_photo(photo.data, photo.box, **query.wishes)
    embedding = service().embed(photo.data, photo.box).embedding
    return service().search(query.like, query.unlike, embedding, **query.wishes)


def _shared(photo: Photo | None) -> str:
    if photo is None:
        return "This page's address holds the search: copy it to share it."
    return "This page's address holds the filters, not your photo, which the service forgets once it has answered."


main()
