from dataclasses import replace

import streamlit as st

from vsearch.serving.client.calls import item_path
from vsearch.serving.client.failures import ServiceError
from vsearch.serving.messages import Info, Item
from vsearch.serving.page.inputs import NO_PHOTO
from vsearch.serving.page.results import show_hits
from vsearch.serving.page.search import DEFAULT_K, Search
from vsearch.serving.page.service import pictures, service, show_failure
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import plain

MOST_PHOTOS = 12  # of a product


def show_item(search: Search, served: Info) -> None:
    """Draw the selected item: its photo, its metadata, its product's photos, similar items."""
    st.button(
        "Back to the search",
        icon=":material/arrow_back:",
        on_click=put,
        args=[replace(search, item="")],
    )
    try:
        item = service().item(search.item)
        product = service().product(item.id, limit=MOST_PHOTOS + 1)
        reply = service().similar(item.id, k=DEFAULT_K)
    except ServiceError as error:
        show_failure(error, "item")
        return
    (data,) = pictures([f"{item_path(item.id)}/image?size=640"], served.fingerprint)
    known = {"id": item.id, "label": item.label, **item.metadata}
    with st.container(horizontal=True):
        with st.container(width=320):
            _show_photo(data, item)
        with st.container(width=400):
            st.markdown(f"### {plain(item.label)}")
            shown = {name: str(value) for name, value in known.items() if value is not None}
            st.table([{"what": name, "value": value} for name, value in shown.items()])
    others = [one for one in product.items if one.id != item.id][:MOST_PHOTOS]
    if others:
        st.markdown(f"**More photos of this product** ({product.total - 1})")
        shown_photos = pictures([one.image_url for one in others], served.fingerprint)
        with st.container(horizontal=True):
            for one, photo in zip(others, shown_photos, strict=True):
                with st.container(width=160):
                    _show_photo(photo, one)
    st.markdown("**Similar items**")
    show_hits(reply.hits, search, None, served)


def _show_photo(data: bytes | None, item: Item) -> None:
    if data:
        st.image(data, width="stretch", alt=f"{item.label}, {item.id}")
    else:
        st.caption(NO_PHOTO)
