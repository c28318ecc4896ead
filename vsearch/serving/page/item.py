from dataclasses import replace

import streamlit as st

from vsearch.serving.client.calls import item_path
from vsearch.serving.client.failures import ServiceError
from vsearch.serving.messages import Info
from vsearch.serving.page.inputs import NO_PHOTO
from vsearch.serving.page.results import show_hits
from vsearch.serving.page.search import DEFAULT_K, Search
from vsearch.serving.page.service import pictures, service, show_failure
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import plain


def show_item(search: Search, served: Info) -> None:
    """Draw the selected item: its photo, its metadata, similar items."""
    st.button(
        "Back to the search",
        icon=":material/arrow_back:",
        on_click=put,
        args=[replace(search, item="")],
    )
    try:
        item = service().item(search.item)
        reply = service().similar(item.id, k=DEFAULT_K)
    except ServiceError as error:
        show_failure(error, "item")
        return
    (data,) = pictures([f"{item_path(item.id)}/image?size=640"], served.fingerprint)
    known = {"id": item.id, "label": item.label, **item.metadata}
    with st.container(horizontal=True):
        with st.container(width=320):
            if data:
                st.image(data, width="stretch", alt=f"{item.label}, {item.id}")
            else:
                st.caption(NO_PHOTO)
        with st.container(width=400):
            st.markdown(f"### {plain(item.label)}")
            shown = {name: str(value) for name, value in known.items() if value is not None}
            st.table([{"what": name, "value": value} for name, value in shown.items()])
    st.markdown("**Similar items**")
    show_hits(reply.hits, search, None, served)
