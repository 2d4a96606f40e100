from __future__ import annotations

from services.sink.clock_io import STEP_NS, Clock

NS = 1_000_000_000


class Clocks:
    """A wall clock and a monotonic one, set by hand."""

    def __init__(self) -> None:
        self.wall_ns = 1_000 * NS
        self.elapsed_ns = 5 * NS
        self.clock = Clock(lambda: self.wall_ns, lambda: self.elapsed_ns)

    def after(self, elapsed_ns: int, *, step_ns: int = 0) -> tuple[int, ...]:
        self.elapsed_ns += elapsed_ns
        self.wall_ns += elapsed_ns + step_ns
        return self.clock.read()


def test_time_is_the_wall_clock_as_long_as_nobody_sets_it() -> None:
    assert Clocks().after(NS) == (1_001 * NS,)


def test_a_jitter_of_the_wall_clock_is_not_seen() -> None:
    assert Clocks().after(NS, step_ns=-STEP_NS) == (1_001 * NS,)


def test_a_step_back_is_seen_even_when_more_time_than_that_went_by() -> None:
    clocks = Clocks()
    assert clocks.after(5 * NS, step_ns=-3 * NS) == (1_005 * NS, 1_002 * NS)
    assert clocks.after(NS) == (1_003 * NS,)


def test_a_step_forward_or_a_sleep_of_the_machine_is_followed_at_once() -> None:
    assert Clocks().after(NS, step_ns=60 * NS) == (1_001 * NS, 1_061 * NS)
