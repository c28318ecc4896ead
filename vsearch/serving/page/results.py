from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from PIL import Image

from vsearch.data.regions import in_words
from vsearch.reports.pictures import framed
from vsearch.reports.search_results import csv
from vsearch.serving.messages import Hit, Info, SearchReply
from vsearch.serving.page.explanation import explain
from vsearch.serving.page.inputs import NO_PHOTO, Photo
from vsearch.serving.page.search import Search
from vsearch.serving.page.service import pictures
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import likely, plain

WIDE: dict[str, Any] = {"width": "stretch", "type": "tertiary"}  # buttons
COARSE = 2  # parts per side: too few to show where photos match
ADDRESS_HOLDS_ALL = "This page's address holds the search: copy it to share it."
ADDRESS_HOLDS_FILTERS = (
    "This page's address holds the filters but not your photo, which the service forgets after "
    "answering."
)
UNKNOWN = (
    "Probabilities of labels were measured for whole photos among all items; they are unknown for "
    "a part of a photo, for words, for examples and with filters."
)


def show_results(reply: SearchReply, search: Search, photo: Photo | None, served: Info) -> None:
    """Draw the hits as a grid, or say why there are none."""
    found = "Nothing found"
    if reply.hits:
        asked = f"for {plain(search.in_words(photo is not None))}" if search.text else ""
        found = f"{len(reply.hits)} results {asked or 'by similarity'}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{found}**", width="content")
        with st.popover("Link", icon=":material/link:", type="tertiary"):
            st.code(_link(search), language=None, wrap_lines=True)  # with a button that copies it
            st.caption(ADDRESS_HOLDS_FILTERS if photo else ADDRESS_HOLDS_ALL)
        if reply.hits:
            st.download_button(
                "CSV",
                _csv(reply, search, photo),
                "results.csv",
                "text/csv",
                icon=":material/download:",
                help="Download these results as a table",
                on_click="ignore",
                type="tertiary",
            )
    if reply.message:
        st.warning(plain(reply.message), icon=":material/info:")
    if not reply.hits:
        st.info("Select more values, or a lower similarity.")
    show_hits(reply.hits, search, photo, served)
    took = reply.took_ms
    if served.calibration and all(hit.probability is None for hit in reply.hits):
        st.caption(UNKNOWN)
    synthetic = "The photos of this catalog are synthetic, drawn by vsearch."
    st.caption(
        f"Decoded in {took.decode:.0f} ms, embedded in {took.embed:.0f} ms, searched in "
        f"{took.search:.0f} ms. {synthetic if served.synthetic else ''}"
    )


def show_hits(hits: Sequence[Hit], search: Search, photo: Photo | None, served: Info) -> None:
    """Draw hits as a grid."""
    shown = pictures([hit.thumbnail_url for hit in hits], served.fingerprint)
    explains = served.places is not None and min(served.places) > COARSE
    with st.container(key=f"results-{columns(len(hits))}"):
        for hit, data in zip(hits, shown, strict=True):
            with st.container(border=True, gap=None, key=f"hit-{hit.rank}"):
                _show_hit(hit, data)
                with st.container(horizontal=True, gap=None):
                    _show_buttons(hit, search, photo, explains)


def columns(results: int) -> int:
    """Return the number of results per row of a wide screen: the last row has the fewest gaps."""
    return min((6, 5, 7, 4), key=lambda columns: -results % columns)


def _show_hit(hit: Hit, data: bytes | None) -> None:
    if data:
        alt = f"Result {hit.rank}: {hit.label}, {hit.similarity_percent:.0f} % similar"
        if hit.region is None:
            st.image(data, width="stretch", alt=alt)
        else:
            picture = framed(Image.open(BytesIO(data)), hit.region)
            st.image(picture, width="stretch", alt=f"{alt} in its part {in_words(hit.region)}")
    else:
        st.caption(NO_PHOTO)
    st.markdown(f"**{hit.similarity_percent:.1f} %** {plain(hit.label)}")
    photos = f"{hit.group_size} photos" if (hit.group_size or 1) > 1 else ""
    for line in (likely(hit.probability), photos, ", ".join(_known(hit))):
        if line:
            st.caption(line)


def _show_buttons(hit: Hit, search: Search, photo: Photo | None, explains: bool) -> None:
    _example_button("More like", ":material/thumb_up:", hit, search.more(hit.id))
    if search.like or photo or search.text:  # unwanted items alone don't say what is wanted
        _example_button("Less like", ":material/thumb_down:", hit, search.less(hit.id))
    st.button(
        f"Details {hit.rank}",
        key=f"details-{hit.id}",
        on_click=put,
        args=[replace(search, item=hit.id)],
        icon=":material/info:",
        help=f"Everything about {plain(hit.id)}",
        **WIDE,
    )
    # beside a selected item, hits are similar to that item
    explains = explains and not search.item
    comparable = explains and hit.thumbnail_url and (photo or search.like)
    if comparable and st.button(
        f"Why {hit.rank}?",
        key=f"why-{hit.id}",
        icon=":material/center_focus_strong:",
        help="Why: where both photos match",
        **WIDE,
    ):
        explain(hit, search, photo)


def _link(search: Search) -> str:
    return f"{st.context.url or ''}?{urlencode(search.to_url(), doseq=True)}"


def _csv(reply: SearchReply, search: Search, photo: Photo | None) -> str:
    query = search.in_words(photo is not None)
    return csv([{"query": query, "hits": [hit.model_dump(mode="json") for hit in reply.hits]}])


def _example_button(title: str, icon: str, hit: Hit, search: Search) -> None:
    st.button(
        f"{title} {hit.rank}",
        key=f"{title.split()[0].lower()}-{hit.id}",
        on_click=put,
        args=[search],
        icon=icon,
        help=f"{title} this: {plain(hit.id)}",
        **WIDE,
    )


def _known(hit: Hit) -> list[str]:
    known = {name: value for name, value in hit.metadata.items() if value is not None}
    return [
        plain(value if isinstance(value, str) else f"{name}: {value}")
        for name, value in known.items()
    ]
