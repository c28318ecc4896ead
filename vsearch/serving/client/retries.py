from typing import Any

import tenacity

from vsearch.serving.client.failures import Busy, ServiceError, Unreachable

FIRST_WAIT_S = 0.25
BACKOFF = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S)


def policy(attempts: int, max_wait_s: float) -> dict[str, Any]:
    """Return arguments for `tenacity` that try `attempts` times if the service is busy or away.

    The wait is that of Retry-After, else random up to a limit that doubles each time. If it is
    above `max_wait_s`, the call fails at once, and the error gives the wait. A request that was too
    slow isn't tried again: the service is still working on it, and would do it twice.
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
