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
    """Show which parts of the photo, or else of the first example, and of a result are alike."""
    name = "Your photo" if photo else f"Your example {search.like[0]}"
    try:
        theirs = _item_photo(hit.id)
        ours = photo.data if photo else _item_photo(search.like[0])
        reply = service().explain(hit.id, ours, photo.region if photo else None)
    except ServiceError as error:
        if isinstance(error, Refused) and error.problem.status == 404:
            missing = "Photos are compared, and one of them is not there."
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
        f"**{100 * reply.score:.1f} % similar.** The score is the sum of these parts, over "
        f"{len(rows)} x {len(rows[0])} places that the network tells apart: {_colours(bounds)}"
    )
    if len(search.like) + len(search.unlike) + bool(photo) > 1:
        st.caption(
            f"{plain(name)} alone is compared here. With all examples of this search together the "
            f"result is {hit.similarity_percent:.1f} % similar."
        )


def _item_photo(item: str) -> bytes:
    return service().image(f"{item_path(item)}/image?size={SIZE}")


def _show(title: str, data: bytes, heatmap: Heatmap, bounds: Bounds) -> None:
    photo = picture(data)
    if photo is None:
        st.info(f"{plain(title)} can't be shown here.")
        return
    alt = f"{title}, brighter red where it is more alike"
    shown = overlay(photo.shown, heatmap, bounds)
    st.image(shown, caption=plain(title), width="stretch", alt=alt)


def _colours(bounds: Bounds) -> str:
    if bounds.low > 0:
        low, high = 100 * bounds.low, 100 * bounds.high
        return f"all raise it, from grey, the least ({low:.1f} %), to red, the most ({high:.1f} %)."
    return "red ones raise it, the more so the stronger the colour; blue ones lower it."
