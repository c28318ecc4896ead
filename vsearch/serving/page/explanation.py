import streamlit as st

from vsearch.serving.client.calls import item_path
from vsearch.serving.client.failures import Refused, ServiceError
from vsearch.serving.messages import Hit
from vsearch.serving.page.inputs import Photo
from vsearch.serving.page.pictures import bounds, overlay, picture
from vsearch.serving.page.search import Query
from vsearch.serving.page.service import service, tell
from vsearch.serving.page.texts import plain

SIZE = 640  # pixels of the photos that are compared


@st.dialog("Why it matched", width="large")
def why(hit: Hit, query: Query, photo: Photo | None) -> None:
    """Show which parts of the photo, or else of the first example, and of a result make them alike."""
    try:
        theirs = service().image(f"{item_path(hit.id)}/image?size={SIZE}")
        ours = (
            photo.data
            if photo
            else service().image(f"{item_path(query.like[0])}/image?size={SIZE}")
        )
        parts = service().explain(hit.id, ours, photo.box if photo else None)
    except ServiceError as error:
        if isinstance(error, Refused) and error.problem.status == 404:
            st.info(
                "Photos are compared, and one of them is not there. The service says: "
                f"{plain(str(error))}"
            )
        else:
            tell(error, "why")
        return
    name = "Your photo" if photo else f"Your example {query.like[0]}"
    low, high = bounds(parts.query, parts.item)
    left, right = st.columns(2)
    for column, title, data, heatmap in (
        (left, name, ours, parts.query),
        (right, hit.id, theirs, parts.item),
    ):
        shown = picture(data)
        with column:
            if shown:
                said = f"{title}, brighter red where it is more alike"
                st.image(
                    overlay(shown.shown, heatmap, (low, high)),
                    caption=plain(title),
                    width="stretch",
                    alt=said,
                )
            else:
                st.info(f"{plain(title)} can't be shown here.")
    st.write(
        f"**{100 * parts.score:.1f} % similar.** The score is the sum of these parts, over "
        f"{len(parts.query.parts)} x {len(parts.query.parts[0])} places that the network tells "
        f"apart: {_colours(low, high)}"
    )
    if len(query.like) + len(query.unlike) + bool(photo) > 1:
        st.caption(
            f"{plain(name)} alone is compared here. With all examples of this search together the "
            f"result is {hit.similarity_percent:.1f} % similar."
        )


def _colours(low: float, high: float) -> str:
    if low > 0:
        return f"all raise it, from grey, the least ({100 * low:.1f} %), to red, the most ({100 * high:.1f} %)."
    return "red ones raise it, the more so the stronger the colour; blue ones lower it."
