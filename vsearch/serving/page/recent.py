from dataclasses import dataclass, replace

import streamlit as st

from vsearch.serving.page.inputs import Photo
from vsearch.serving.page.search import Search
from vsearch.serving.page.session import put
from vsearch.serving.page.texts import plain

RECENT = "recent"  # in the session
MOST = 6


@dataclass(frozen=True)
class Recent:
    """A search and its photo."""

    search: Search
    photo: Photo | None

    @property
    def query(self) -> tuple[object, ...]:
        """The query without its filters."""
        search = self.search
        return search.like, search.unlike, search.text, self.photo and self.photo.data


def remember(search: Search, photo: Photo | None) -> None:
    """Keep a search of this session; for each query only the last."""
    now = Recent(replace(search, item=""), photo)
    others = [one for one in _recent() if one.query != now.query]
    st.session_state[RECENT] = [now, *others][:MOST]


def show_recent() -> None:
    """Draw a button for each recent search."""
    if not _recent():
        return
    with st.popover("Recent", icon=":material/history:"):
        for number, one in enumerate(_recent()):
            with st.container(horizontal=True, vertical_alignment="center"):
                if one.photo and one.photo.picture:
                    st.image(one.photo.picture.shown, width=48, alt="Your photo")
                label = plain(one.search.in_words(one.photo is not None))
                data = one.photo.data if one.photo else None
                key = f"recent-{number}"
                st.button(label, key=key, on_click=put, args=[one.search, False, data])


def _recent() -> list[Recent]:
    found: list[Recent] = st.session_state.get(RECENT, [])
    return found
