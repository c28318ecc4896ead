import itertools

from vsearch.indexes.timing import in_turn


class Clock:
    """Stands still until something takes its time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, *seconds: float):
        times = itertools.cycle(seconds)

        def call() -> None:
            self.now += next(times)

        return call


def test_medians_of_calls_in_turn():
    clock = Clock()
    calls = [
        [clock.taking(70), clock.taking(1), clock.taking(3)],
        [clock.taking(5, 5, 90)],
    ]  # a cold cache; a hiccup
    assert in_turn(calls, range(3), clock) == [2, 5]


def test_all_take_their_turn_in_every_round():
    seen: list[str] = []
    calls = [[lambda name=name: seen.append(name)] for name in "ab"]
    in_turn(calls, range(3))
    assert "".join(seen) == "ababab"


def test_a_slow_spell_hits_all_alike():
    clock, speed = Clock(), itertools.chain([1, 1, 1, 1, 10, 10], itertools.repeat(1))

    def work(seconds: float):
        def call() -> None:
            clock.now += seconds * next(speed)

        return call

    assert in_turn([[work(1)], [work(2)]], range(5), clock) == [1, 2]
