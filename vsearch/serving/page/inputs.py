"""The query: a photo, a part of it, and items as examples."""

import random
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vsearch.serving.client.calls import item_path
from vsearch.serving.messages import Info, Region
from vsearch.serving.page.pictures import (
    ACROSS,
    DOWN,
    PART,
    Picture,
    box_chart,
    darken_outside,
    picture,
    region_of,
)
from vsearch.serving.page.search import LONGEST_TEXT, Search
from vsearch.serving.page.sending import made_sendable
from vsearch.serving.page.service import pictures, service
from vsearch.serving.page.session import KEPT, filters, put, turn
from vsearch.serving.page.texts import plain

SENDABLE, BOX = "sendable", "box"  # in the session
NO_PHOTO = "no photo here"
KINDS = ["jpg", "jpeg", "png", "webp", "gif", "bmp"]


@dataclass(frozen=True)
class Photo:
    """The photo of a query.

    Attributes:
        picture: for showing; None: the page can't show it.
        region: the part to search with; None: all.
        parts: whether to search with its parts, too, without examples.
    """

    data: bytes
    picture: Picture | None
    region: Region | None
    parts: bool = False


def choose_photo(search: Search) -> bytes | None:
    """Draw the ways to give a photo; return its bytes."""
    upload, camera = st.tabs(["Upload", "Camera"], key="source-tab", on_change="rerun")
    leave_item: Any = {"on_change": put, "args": [replace(search, item="")]}
    with upload:
        title = "Drop or paste a photo, or browse"  # anywhere: give.js
        file = st.file_uploader(title, KINDS, key=f"file{turn()}", **leave_item)
    shot = None
    if camera.open:  # ask for the camera only when it is used
        with camera:
            title = "Take a photo of the product"
            shot = st.camera_input(title, key=f"shot{turn()}", **leave_item)
    given = shot or file  # an empty file counts: the service says what is wrong with it
    if given is None:
        return st.session_state.get(KEPT)
    st.session_state[KEPT] = None
    return _sendable(given)


def choose_text(search: Search) -> Search:
    """Draw a box for words; return the search with its content."""
    title = "Words"
    hint = "red summer dress"
    key = f"text{turn()}.{filters()}"
    given = st.text_input(title, search.text, LONGEST_TEXT, key=key, placeholder=hint)
    return replace(search, text=given.strip())


def choose_region(data: bytes, search: Search) -> Photo:
    """Draw sliders for the part of the photo to search with, and a switch for its own parts."""
    shown = picture(data)
    region = None
    if shown is None:
        st.info("This photo can't be shown here, but you can still search with it.")
    else:
        region = _choose_box(shown)
    parts = st.toggle(
        "Search with parts of the photo, too",
        key="parts",
        disabled=bool(search.like or search.unlike),
        help="For photos of several products: a result counts by the part that it matches best; "
        "not beside examples",
    )
    return Photo(data, shown, region, parts)


def _choose_box(shown: Picture) -> Region | None:
    with st.expander("Search with a part of the photo", icon=":material/crop:"):
        st.vega_lite_chart(box_chart(shown), width="content", key=BOX, on_select=_take_box)
        st.caption("Drag a box over the part, or set its edges:")
        across = _ends("From left to right", ACROSS)
        down = _ends("From top to bottom", DOWN)
    return region_of(shown, _wide(across), _wide(down))


def show_inputs(search: Search, photo: Photo | None, served: Info) -> None:
    """Draw the photo and the example items, each with a button to remove it."""
    ids = [*search.like, *search.unlike]
    shown = pictures([f"{item_path(item)}/image?size=256" for item in ids], served.fingerprint)
    with st.container(horizontal=True, key="wanted"):
        if photo and photo.picture:
            title = "Your photo" if photo.region is None else "Part of your photo"
            with tile():
                st.image(darken_outside(photo.picture, photo.region), width="stretch", alt=title)
                st.caption(title)
        for item, data in zip(ids, shown, strict=True):
            with tile():
                _show_example(search, item, data)


def tile(key: str | None = None) -> Any:
    """Return a frame for one photo and its text."""
    return st.container(border=True, gap="xsmall", key=key)


def random_item(search: Search, served: Info) -> Search:
    """Return a search for items like a random one; filters stay."""
    drawn = service().items(offset=random.randrange(served.items), limit=1).items
    return replace(search, like=tuple(item.id for item in drawn), unlike=(), text="")


def _show_example(search: Search, item: str, data: bytes | None) -> None:
    kind = "More like" if item in search.like else "Less like"
    if data:
        st.image(data, width="stretch", alt=f"{kind} {item}")
    else:
        st.caption(NO_PHOTO)
    st.caption(f"{kind} {plain(item)}")
    st.button(
        "Remove",
        key=f"remove-{item}",
        help=f"Remove {plain(item)}",
        on_click=put,
        args=[search.without(item)],
    )


def _take_box() -> None:
    """Move the sliders to the dragged box, or to the whole photo if the box was removed."""
    box = st.session_state[BOX].selection.get(PART, {})
    for side in (ACROSS, DOWN):
        low, high = sorted(box.get(side, (0, 100)))
        st.session_state[side] = (max(0, round(low)), min(100, round(high)))


def _ends(title: str, side: str) -> tuple[int, int]:
    """Draw a slider for a side of the box; return its ends in percent."""
    st.session_state.setdefault(side, (0, 100))
    found: Any = st.slider(title, 0, 100, format="%d %%", key=side)
    return found[0], found[1]


def _sendable(file: UploadedFile) -> bytes:
    """Return the file's bytes; a file that is too large is made smaller once."""
    kept: tuple[str, bytes] | None = st.session_state.get(SENDABLE)
    if kept is None or kept[0] != file.file_id:
        with st.spinner("Reading the photo"):
            kept = (file.file_id, made_sendable(file.getvalue()))
        st.session_state[SENDABLE] = kept
    return kept[1]


def _wide(ends: tuple[int, int]) -> tuple[int, int]:
    low, high = ends
    return (low, high) if low < high else (max(0, low - 1), min(100, low + 1))
