import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import streamlit as st

from vsearch.serving.client.client import Client
from vsearch.serving.client.failures import ServiceError
from vsearch.serving.messages import Info
from vsearch.serving.page.texts import failure_text

URL, KEY = "VSEARCH_SERVICE", "VSEARCH_API_KEY"  # environment of the page
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S, LONGEST_WAIT_S = 20.0, 2.0  # a person is waiting
PICTURES_AT_ONCE = 6
KNOWN = "known"  # in the session


def service_url() -> str:
    """Return the service's URL."""
    return os.environ.get(URL, DEFAULT_URL)


@st.cache_resource
def service() -> Client:
    """Return the client that all visitors share; it uses the first of several keys."""
    key = os.environ.get(KEY, "").split(",")[0].strip()
    return Client(
        service_url(),
        api_key=key or None,
        timeout_s=TIMEOUT_S,
        attempts=2,
        max_wait_s=LONGEST_WAIT_S,
    )


@st.cache_data(ttl=5, show_spinner=False)
def info() -> Info:
    """Return what is served, cached for up to 5 seconds."""
    return service().info()


def known() -> Info:
    """Return what is served, or, if the service is down, was served last: the page stays usable."""
    try:
        st.session_state[KNOWN] = info()
    except ServiceError:
        if KNOWN not in st.session_state:
            raise
    served: Info = st.session_state[KNOWN]
    return served


def pictures(paths: Sequence[str | None], generation: str) -> list[bytes | None]:
    """Return pictures of items, fetched together; None for unavailable ones."""
    with ThreadPoolExecutor(PICTURES_AT_ONCE) as pool:
        return [*pool.map(lambda path: _picture_or_none(path, generation), paths)]


def show_failure(error: ServiceError, where: str) -> None:
    """Show what went wrong and what to do, with a button to try again."""
    said, advice = failure_text(error, service_url())
    st.error(f"**{said}** {advice}", icon=":material/error:")
    st.button("Try again", key=f"again-{where}")


def _picture_or_none(path: str | None, generation: str) -> bytes | None:
    try:
        return None if path is None else _picture(path, generation)
    except ServiceError:
        return None


@st.cache_data(max_entries=3000, show_spinner=False)
def _picture(path: str, generation: str) -> bytes:
    return service().image(path)
