from typing import Any

import tenacity

from vsearch.serving.client.failures import Busy, ServiceError, Unreachable

FIRST_WAIT_S = 0.25
BACKOFF = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S)


def policy(attempts: int, max_wait_s: float) -> dict[str, Any]:
    """Return what `tenacity` takes to try again, `attempts` times in all, what is busy or away.

    The wait is what Retry-After asks for, else random up to a limit that doubles each time. A wait
    above `max_wait_s` is not shortened but given up: the error says how long it would be. What is
    too slow is not tried again: the service is at work on it, and would do it twice.
    """
    return {
        "retry": tenacity.retry_if_exception_type((Busy, Unreachable)),
        "wait": wait_s,
        "stop": lambda state: (
            state.attempt_number >= attempts or (_asked_s(state) or 0.0) > max_wait_s
        ),
        "reraise": True,
    }


def wait_s(state: tenacity.RetryCallState) -> float:
    """Return the seconds to wait before the next attempt."""
    asked = _asked_s(state)
    return BACKOFF(state) if asked is None else asked


def _asked_s(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, ServiceError) else None
