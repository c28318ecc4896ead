import pytest

from vsearch.serving.client.failures import Busy, Refused, TooSlow, Unexpected, Unreachable
from vsearch.serving.messages import Problem
from vsearch.serving.page.texts import failure_text, likely


def problem(status, detail="cut *off*"):
    return Problem(title="No", status=status, detail=detail, request_id="r1")


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [
        (Unreachable("refused"), "can't be reached", "Is it running at http://shop?"),
        (TooSlow("slow"), "in time", "smaller photo"),
        (Busy(problem(503), 7.2), "busy", "Try again in 7 seconds"),
        (Busy(problem(503), None), "busy", "Try again in a moment"),
        (Unexpected("another"), "not from the service", "`--service URL`"),
        (
            Refused(Problem(title="No", status=404, detail="of a proxy")),
            "not from the service",
            "at http://shop",
        ),
        (Refused(problem(404)), "no longer exists", "start over"),
        (Refused(problem(413)), "too large", "smaller one"),
        (Refused(problem(415)), "not a photo", "JPEG"),
        (Refused(problem(422)), "can't use this", r"cut \*off\* (request r1)"),
        (Refused(problem(500)), "couldn't answer", "request r1"),
    ],
)
def test_each_failure_has_words_and_advice(error, said, advice):
    found = failure_text(error, "http://shop")
    assert said in found[0]
    assert advice in found[1]


def test_what_the_service_says_is_text_and_no_markup():
    found = failure_text(Refused(problem(422, "[x](http://evil) <b> $a$ :red[b]")), "http://shop")[
        1
    ]
    assert r"\[x\]\(http\://evil\) \<b\> \$a\$ \:red\[b\]" in found


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.873, "label right with 87 %"),
        (0.9996, "label right with over 99 %"),
        (0.0, "label right with 1 %"),
        (None, ""),
    ],
)
def test_nothing_is_certain(probability, said):
    assert likely(probability) == said
