from typing import Any

import streamlit as st

from vsearch.serving.messages import Hit, Info, SearchReply
from vsearch.serving.page.explanation import why
from vsearch.serving.page.inputs import NO_PHOTO, WIDTH, Photo
from vsearch.serving.page.search import Query
from vsearch.serving.page.service import pictures
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import likely, plain

SHOWN = 4  # metadata of a result; the rest is in its details


def results(reply: SearchReply, query: Query, photo: Photo | None, found: Info) -> None:
    """Draw what was found as a grid, or say why there is nothing."""
    took = reply.took_ms
    st.subheader(f"{len(reply.hits)} results" if reply.hits else "Nothing found")
    if reply.message:
        st.warning(plain(reply.message), icon=":material/info:")
    if not reply.hits:
        st.info("Allow more values, or a lower similarity.")
    shown = pictures([hit.thumbnail_url for hit in reply.hits], found.fingerprint)
    with st.container(horizontal=True, key="results"):
        for hit, data in zip(reply.hits, shown, strict=True):
            with st.container(border=True, width=WIDTH, gap="xsmall", key=f"hit-{hit.rank}"):
                _result(hit, data, query, photo, found)
    st.caption(
        f"Decoded in {took.decode:.0f} ms, embedded in {took.embed:.0f} ms, searched in "
        f"{took.search:.0f} ms. "
        + ("The photos of this catalog are synthetic, drawn by vsearch." if found.synthetic else "")
    )


def _result(hit: Hit, data: bytes | None, query: Query, photo: Photo | None, found: Info) -> None:
    if data:
        st.image(
            data,
            width="stretch",
            alt=f"Result {hit.rank}: {hit.label}, {hit.similarity_percent:.0f} % similar",
        )
    else:
        st.caption(NO_PHOTO)
    st.markdown(f"**{hit.rank}. {_plain(hit.label)}**")
    st.markdown(f"{hit.similarity_percent:.1f} % similar{likely(hit.probability)}")
    known = [(name, value) for name, value in hit.metadata.items() if value is not None]
    st.caption("  \n".join(f"{_plain(name)}: {_plain(value)}" for name, value in known[:SHOWN]))
    settings: dict[str, Any] = {"width": "stretch", "type": "secondary"}
    st.button(
        f"More like {hit.rank}",
        key=f"more-{hit.id}",
        on_click=put,
        args=[query.more(hit.id)],
        help=f"More like this: {hit.id}",
        **settings,
    )
    if query.like or photo:  # what is not wanted alone says nothing about what is
        st.button(
            f"Less like {hit.rank}",
            key=f"less-{hit.id}",
            on_click=put,
            args=[query.less(hit.id)],
            help=f"Less like this: {hit.id}",
            **settings,
        )
    seen = hit.thumbnail_url and (photo or query.like)
    if found.explains and seen and st.button(f"Why {hit.rank}?", key=f"why-{hit.id}", **settings):
        why(hit, query, photo)
    if len(known) > SHOWN:
        with st.expander("Details"):
            st.caption(
                "  \n".join(f"{_plain(name)}: {_plain(value)}" for name, value in known[SHOWN:])
            )


def _plain(value: object) -> str:
    return plain(str(value))
