import streamlit as st

from vsearch.serving.client.calls import item_path
from vsearch.serving.client.failures import Refused, ServiceError
from vsearch.serving.messages import Heatmap, Hit
from vsearch.serving.page.inputs import Photo
from vsearch.serving.page.pictures import Bounds, overlay, picture
from vsearch.serving.page.search import Search
from vsearch.serving.page.service import service, show_failure
from vsearch.serving.page.texts import plain

SIZE = 640  # pixels of the photos that are compared


@st.dialog("Why it matched", width="large")
def explain(hit: Hit, search: Search, photo: Photo | None) -> None:
    """Show which parts of the photo, or of the first example without one, match a result's."""
    name = "Your photo" if photo else f"Your example {search.like[0]}"
    try:
        theirs = _item_photo(hit.id)
        ours = photo.data if photo else _item_photo(search.like[0])
        reply = service().explain(hit.id, ours, photo.region if photo else None)
    except ServiceError as error:
        if isinstance(error, Refused) and error.problem.status == 404:
            missing = "This compares two photos, and one of them is missing."
            st.info(f"{missing} The service says: {plain(str(error))}")
        else:
            show_failure(error, "why")
        return

    bounds = Bounds.of(reply.query, reply.item)
    left, right = st.columns(2)
    with left:
        _show(name, ours, reply.query, bounds)
    with right:
        _show(hit.id, theirs, reply.item, bounds)
    rows = reply.query.parts
    st.write(
        f"**{100 * reply.score:.1f} % similar.** The score is the sum over "
        f"{len(rows)} x {len(rows[0])} parts of each photo: {_colours(bounds)}"
    )
    if len(search.like) + len(search.unlike) + bool(photo) + bool(search.text) > 1:
        st.caption(
            f"{plain(name)} alone is compared here. With everything in this search, the result "
            f"is {hit.similarity_percent:.1f} % similar."
        )
    elif hit.region or hit.query_region:
        st.caption(
            "Whole photos are compared here. The parts that matched are "
            f"{hit.similarity_percent:.1f} % similar."
        )


def _item_photo(item: str) -> bytes:
    return service().image(f"{item_path(item)}/image?size={SIZE}")


def _show(title: str, data: bytes, heatmap: Heatmap, bounds: Bounds) -> None:
    photo = picture(data)
    if photo is None:
        st.info(f"{plain(title)} can't be shown here.")
        return
    alt = f"{title}, stronger red where it is more similar"
    shown = overlay(photo.shown, heatmap, bounds)
    st.image(shown, caption=plain(title), width="stretch", alt=alt)


def _colours(bounds: Bounds) -> str:
    if bounds.low > 0:
        low, high = 100 * bounds.low, 100 * bounds.high
        return f"all raise it, from grey (least, {low:.1f} %) to red (most, {high:.1f} %)."
    return "red parts raise it, blue parts lower it, stronger colours more."
