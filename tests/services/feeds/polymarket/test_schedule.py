"""Requests are neither forgotten nor hurried."""

from __future__ import annotations

from services.feeds.polymarket.schedule import Polls

NS = 1_000_000_000


def test_a_request_in_flight_is_not_made_again_until_it_is_lost() -> None:
    polls = Polls()
    assert len(polls.due("a", "url", 0)) == 1
    assert polls.due("a", "url", 19 * NS) == []
    assert len(polls.due("a", "url", 21 * NS)) == 1


def test_failures_slow_a_request_down_to_about_a_minute() -> None:
    polls, ts_ns, waits = Polls(), 0, []
    for _ in range(10):
        assert polls.due("a", "url", ts_ns)
        polls.answered("a", ts_ns, served=False, again_s=2.0)
        asked_ns = ts_ns
        while not polls.due("a", "url", ts_ns):
            ts_ns += NS // 10
        polls.answered("a", ts_ns, served=False, again_s=2.0)
        waits.append((ts_ns - asked_ns) / NS)
        ts_ns += 100 * NS
    assert waits[0] < 3.0
    assert 45.0 < max(waits) < 75.0


def test_requests_nobody_makes_any_more_are_forgotten() -> None:
    polls = Polls()
    for index in range(100):
        polls.due(f"event:{index}", "url", index)
    polls.prune(2_000 * NS)
    assert len(polls) == 0
