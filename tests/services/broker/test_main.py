from __future__ import annotations

import time

from services.broker.__main__ import FORGET_AFTER_S, is_old
from shared.codec import encode
from shared.messages import SCHEMA_VERSION, Envelope, Period, topic_of
from tests.builders import NS, build


def frame(ts_pub_ns: int) -> bytes:
    period = build(Period)
    return topic_of(period).encode() + b"\0" + encode(Envelope(SCHEMA_VERSION, "feed-1", 1, 1, ts_pub_ns, period))


def test_a_topic_nobody_published_for_an_hour_is_forgotten() -> None:
    now_ns = time.time_ns()
    assert not is_old(frame(now_ns - 60 * NS))
    assert is_old(frame(now_ns - round((FORGET_AFTER_S + 60) * NS)))


def test_what_is_no_message_is_forgotten() -> None:
    assert is_old(b"Period.btc-15m.current\0junk")
    assert is_old(b"")
