"""What the watching programs of the container tests count."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.read_voices import voices
from tests.deploy.watch_quotes import Watch


def quoting(*, quoted_at: int, valid_until: int) -> dict[str, Any]:
    return {"action": "QUOTE_BOTH", "reasons": [], "quoted_at": quoted_at, "valid_until": valid_until}


def pulled(reason: str, *, quoted_at: int | None = None) -> dict[str, Any]:
    return {"action": "PULL_QUOTES", "reasons": [reason], "quoted_at": quoted_at, "valid_until": 0}


def test_a_quote_is_overdue_from_the_end_of_its_lease() -> None:
    watch = Watch()
    assert watch.take(quoting(quoted_at=0, valid_until=1_500), now_ms=1_500.0) == 0.0
    assert watch.take(quoting(quoted_at=0, valid_until=1_500), now_ms=1_600.0) == 100.0
    assert watch.take(pulled("lease_expired"), now_ms=1_700.0) == 0.0


def test_a_pull_that_is_published_ends_no_quoters_voice_but_is_no_quote() -> None:
    watch = Watch()
    for now_ms in (0, 400, 800):
        watch.take(pulled("volatility_stale", quoted_at=now_ms), now_ms=now_ms + 10.0)
    watch.take(quoting(quoted_at=1_000, valid_until=2_500), now_ms=1_000.0)
    watch.take(pulled("volatility_spike", quoted_at=1_300), now_ms=1_300.0)
    watch.take(quoting(quoted_at=1_900, valid_until=3_400), now_ms=1_900.0)
    assert watch.summary() == {
        "silent_ms": 600,
        "unquoted_ms": 900,  # from the first quote on: before it nobody was waiting for one
        "reasons": ["volatility_spike", "volatility_stale"],
    }


def test_an_overdue_quote_is_none() -> None:
    watch = Watch()
    watch.take(quoting(quoted_at=0, valid_until=1_500), now_ms=0.0)
    watch.take(quoting(quoted_at=0, valid_until=1_500), now_ms=4_000.0)
    assert watch.summary()["unquoted_ms"] == 4_000


@pytest.mark.parametrize(
    ("messages", "changes_ms", "both_ms", "silent_ms"),
    [
        ([(0, 1), (100, 1), (200, 1)], [], 0.0, 100.0),
        ([(0, 1), (100, 1), (400, 2), (500, 2)], [300], 0.0, 300.0),
        ([(0, 1), (100, 2), (250, 1), (300, 2)], [-150], 150.0, 150.0),
    ],
)
def test_voices_that_overlap_and_silence_between_them_are_measured(
    messages: list[tuple[int, int]], changes_ms: list[int], both_ms: float, silent_ms: float
) -> None:
    nanoseconds = [(at_ms * 1_000_000, run) for at_ms, run in messages]
    assert voices(nanoseconds[::-1]) == {"changes_ms": changes_ms, "both_ms": both_ms, "silent_ms": silent_ms}
