from typing import Any

import streamlit as st

from vsearch.serving.messages import Hit, Info, SearchReply
from vsearch.serving.page.explanation import explain
from vsearch.serving.page.inputs import NO_PHOTO, Photo, tile
from vsearch.serving.page.search import Search
from vsearch.serving.page.service import pictures
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import likely, plain

SHOWN = 4  # metadata of a result; the rest is in its details
WIDE: dict[str, Any] = {"width": "stretch", "type": "secondary"}  # buttons


def show_results(reply: SearchReply, search: Search, photo: Photo | None, served: Info) -> None:
    """Draw what was found as a grid, or say why there is nothing."""
    st.subheader(f"{len(reply.hits)} results" if reply.hits else "Nothing found")
    if reply.message:
        st.warning(plain(reply.message), icon=":material/info:")
    if not reply.hits:
        st.info("Allow more values, or a lower similarity.")
    shown = pictures([hit.thumbnail_url for hit in reply.hits], served.fingerprint)
    with st.container(horizontal=True, key="results"):
        for hit, data in zip(reply.hits, shown, strict=True):
            with tile(f"hit-{hit.rank}"):
                _show_hit(hit, data)
                _show_buttons(hit, search, photo, served.explains)
                if len(_known(hit)) > SHOWN:
                    with st.expander("Details"):
                        st.caption("  \n".join(_known(hit)[SHOWN:]))
    took = reply.took_ms
    synthetic = "The photos of this catalog are synthetic, drawn by vsearch."
    st.caption(
        f"Decoded in {took.decode:.0f} ms, embedded in {took.embed:.0f} ms, searched in "
        f"{took.search:.0f} ms. {synthetic if served.synthetic else ''}"
    )


def _show_hit(hit: Hit, data: bytes | None) -> None:
    if data:
        alt = f"Result {hit.rank}: {hit.label}, {hit.similarity_percent:.0f} % similar"
        st.image(data, width="stretch", alt=alt)
    else:
        st.caption(NO_PHOTO)
    st.markdown(f"**{hit.rank}. {plain(hit.label)}**")
    st.markdown(f"{hit.similarity_percent:.1f} % similar{likely(hit.probability)}")
    st.caption("  \n".join(_known(hit)[:SHOWN]))


def _show_buttons(hit: Hit, search: Search, photo: Photo | None, explains: bool) -> None:
    _example_button("More like", hit, search.more(hit.id))
    if search.like or photo:  # what is not wanted alone says nothing about what is
        _example_button("Less like", hit, search.less(hit.id))
    comparable = explains and hit.thumbnail_url and (photo or search.like)
    if comparable and st.button(f"Why {hit.rank}?", key=f"why-{hit.id}", **WIDE):
        explain(hit, search, photo)


def _example_button(title: str, hit: Hit, search: Search) -> None:
    st.button(
        f"{title} {hit.rank}",
        key=f"{title.split()[0].lower()}-{hit.id}",
        on_click=put,
        args=[search],
        help=f"{title} this: {plain(hit.id)}",
        **WIDE,
    )


def _known(hit: Hit) -> list[str]:
    known = {name: value for name, value in hit.metadata.items() if value is not None}
    return [f"{plain(name)}: {plain(str(value))}" for name, value in known.items()]
