import random
from dataclasses import dataclass, replace

import streamlit as st

from vsearch.serving.client.calls import Box, item_path
from vsearch.serving.messages import Info
from vsearch.serving.page.pictures import Picture, marked, picture, region
from vsearch.serving.page.search import Query
from vsearch.serving.page.service import pictures, service
from vsearch.serving.page.session import put, turn
from vsearch.serving.page.texts import plain

WIDTH = 160  # pixels of a tile: two stand side by side on a phone
NO_PHOTO = "no photo here"
KINDS = ["jpg", "jpeg", "png", "webp", "gif", "bmp"]


@dataclass(frozen=True)
class Photo:
    """A photo that is searched with.

    Attributes:
        data: its bytes, as they came.
        picture: to be shown; None: the page can't.
        box: the part of it that counts; None: all.
    """

    data: bytes
    picture: Picture | None
    box: Box | None


def choose() -> bytes | None:
    """Draw the ways to give a photo and return the bytes of the one that was given."""
    upload, camera = st.tabs(["Upload a photo", "Take a photo"], key="source", on_change="rerun")
    with upload:
        file = st.file_uploader("Drop a photo here, or browse", KINDS, key=f"file{turn()}")
    shot = None
    if camera.open:  # the camera is asked for only when it is wanted
        with camera:
            shot = st.camera_input("Take a photo of the product", key=f"shot{turn()}")
    given = shot or file  # an empty file counts: the service says what is wrong with it
    return None if given is None else given.getvalue()


def cut(data: bytes) -> Photo:
    """Draw the photo with sliders for the part of it that counts, and return both."""
    shown = picture(data)
    if shown is None:
        st.info("This photo can't be shown here; the service is asked all the same.")
        return Photo(data, None, None)
    with st.expander("Search with a part of the photo", icon=":material/crop:"):
        across = st.slider("From left to right", 0, 100, (0, 100), format="%d %%", key="across")
        down = st.slider("From top to bottom", 0, 100, (0, 100), format="%d %%", key="down")
    across, down = _wide(across), _wide(down)
    return Photo(data, shown, region(shown, across, down))


def wanted(query: Query, photo: Photo | None, found: Info) -> None:
    """Draw what is searched with: the photo, and the items that are examples, each with a way to
    take it out.
    """
    ids = [*query.like, *query.unlike]
    shown = pictures([f"{item_path(item)}/image?size=256" for item in ids], found.fingerprint)
    with st.container(horizontal=True, key="wanted"):
        if photo and photo.picture:
            with st.container(border=True, width=WIDTH, gap="xsmall"):
                part = "" if photo.box is None else ", a part of it"
                st.image(marked(photo.picture, photo.box), width="stretch", alt=f"Your photo{part}")
                st.caption(f"Your photo{part}")
        for item, data in zip(ids, shown, strict=True):
            sort = "More like" if item in query.like else "Less like"
            with st.container(border=True, width=WIDTH, gap="xsmall"):
                if data:
                    st.image(data, width="stretch", alt=f"{sort} {item}")
                else:
                    st.caption(NO_PHOTO)
                st.caption(f"{sort} {plain(item)}")
                st.button(
                    "Remove",
                    key=f"remove-{item}",
                    help=f"Take {item} out",
                    on_click=put,
                    args=[query.without(item)],
                )


def random_item(query: Query, found: Info) -> Query:
    """Return the search for what is like an item drawn at random; filters stay."""
    drawn = service().items(offset=random.randrange(found.items), limit=1).items
    return replace(query, like=tuple(item.id for item in drawn), unlike=())


def _wide(ends: tuple[int, int]) -> tuple[int, int]:
    low, high = ends
    return (low, high) if low < high else (max(0, low - 1), min(100, low + 1))
