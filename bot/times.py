"""A time on the command line."""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation

LAST = "last"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NS_PER_US, _NS_PER_MS, _NS_PER_S = 1_000, 1_000_000, 1_000_000_000
# The size of a plain number says its unit: below the first it is seconds (until the year 5138).
_SECONDS_BELOW, _MILLISECONDS_BELOW, _NANOSECONDS_FROM = Decimal(10**11), Decimal(10**14), Decimal(10**17)


def parse_time(text: str) -> int | None:
    """A time as nanoseconds since 1970: ISO 8601 (without a zone: UTC), Unix seconds or milliseconds, or `last` (None).

    It is the end of the millisecond named (of the microsecond where one is), because that is how precisely the files
    tell a time; nanoseconds, as in a journal, are taken as they are. Raises ValueError.
    """
    text = text.strip()
    if text == LAST:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _end_of_unit(_of_iso(text))
    if (
        not number.is_finite()
        or not 0 <= number < Decimal(1 << 62)
        or _MILLISECONDS_BELOW <= number < _NANOSECONDS_FROM
    ):
        raise ValueError(_unreadable(text))
    if number >= _NANOSECONDS_FROM:
        return int(number)
    return _end_of_unit(int(number * (_NS_PER_S if number < _SECONDS_BELOW else _NS_PER_MS)))


def _of_iso(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_unreadable(text)) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1) * _NS_PER_US


def _end_of_unit(ts_ns: int) -> int:
    unit_ns = _NS_PER_US if ts_ns % _NS_PER_MS else _NS_PER_MS
    return ts_ns - ts_ns % unit_ns + unit_ns - 1


def _unreadable(text: str) -> str:
    return f"{text!r} is not a time: write 2026-11-23T07:09:10.340Z, Unix seconds or milliseconds, or {LAST}"
