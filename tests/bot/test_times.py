from __future__ import annotations

import pytest

from bot.times import parse_time

SECOND = 1_795_417_750
MS = 10**6


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-23T07:09:10Z", SECOND * 10**9 + MS - 1),
        ("2026-11-23T07:09:10", SECOND * 10**9 + MS - 1),
        ("2026-11-23 08:09:10+01:00", SECOND * 10**9 + MS - 1),
        ("2026-11-23T07:09:10.340Z", SECOND * 10**9 + 341 * MS - 1),
        ("2026-11-23T07:09:10.340920Z", SECOND * 10**9 + 340_920_999),
        (f"{SECOND}", SECOND * 10**9 + MS - 1),
        (f"{SECOND}.34", SECOND * 10**9 + 341 * MS - 1),
        (f"{SECOND}340", SECOND * 10**9 + 341 * MS - 1),
        (f"{SECOND}340920818", SECOND * 10**9 + 340_920_818),
        ("last", None),
        (" last ", None),
    ],
)
def test_a_time_reaches_to_the_end_of_what_it_names(text: str, ns: int | None) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "NaN", "Infinity", "1e400", "2026-13-01", "179541775034092"])
def test_what_is_no_time_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write 2026"):
        parse_time(text)
