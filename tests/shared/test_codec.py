from __future__ import annotations

import math
from collections.abc import Iterator

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import RefusedMessageError, decode, encode
from shared.messages import SCHEMA_VERSION, AnyMessage, Envelope, OutcomeBook, SpotQuote
from tests.builders import EVERY_KIND, build


def envelope(message: AnyMessage, version: int = SCHEMA_VERSION) -> Envelope:
    return Envelope(version, "test-1", 7, 3, 123, message)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
def test_every_message_survives_the_round_trip(kind: type) -> None:
    sent = envelope(build(kind))
    assert decode(encode(sent)) == sent


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_survives_the_round_trip(bid: float, ask: float) -> None:
    sent = envelope(build(SpotQuote, bid=bid, ask=ask))
    assert decode(encode(sent)) == sent


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 3))
def test_no_number_that_is_not_finite_passes_either_way(bad: float, place: int) -> None:
    sizes = [1.0, 2.0, 3.0, 4.0]
    sizes[place] = bad
    sent = envelope(build(OutcomeBook, bid_ticks=(4, 3, 2, 1), bid_sizes=tuple(sizes)))
    with pytest.raises(RefusedMessageError, match="not_finite"):
        encode(sent)
    with pytest.raises(RefusedMessageError) as refusal:
        decode(msgspec.msgpack.encode(sent))
    assert refusal.value.reason == "not_finite"


def test_finite_numbers_whose_sum_is_not_finite_pass() -> None:
    sent = envelope(build(SpotQuote, bid=1.7e308, ask=1.7e308))
    assert decode(encode(sent)) == sent


def _with_each_number_broken(node: object, bad: float) -> Iterator[object]:
    if isinstance(node, float):
        yield bad
    elif isinstance(node, list):
        for place, child in enumerate(node):
            for broken in _with_each_number_broken(child, bad):
                yield [*node[:place], broken, *node[place + 1 :]]
    elif isinstance(node, dict):
        for key, child in node.items():
            for broken in _with_each_number_broken(child, bad):
                yield node | {key: broken}


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
def test_no_field_of_any_message_takes_a_number_that_is_not_finite(kind: type) -> None:
    tree = msgspec.msgpack.decode(msgspec.msgpack.encode(envelope(build(kind))))
    for bad in (math.nan, math.inf, -math.inf):
        for broken in _with_each_number_broken(tree, bad):
            with pytest.raises(RefusedMessageError, match="not_finite"):
                decode(msgspec.msgpack.encode(broken))


def test_another_schema_version_is_refused_by_name() -> None:
    with pytest.raises(RefusedMessageError, match=f"version {SCHEMA_VERSION + 1}") as refusal:
        decode(msgspec.msgpack.encode(envelope(build(SpotQuote), version=SCHEMA_VERSION + 1)))
    assert refusal.value.reason == "version"
    with pytest.raises(RefusedMessageError) as refusal:
        decode(msgpack.packb([SCHEMA_VERSION + 1, "an unknown shape"]))
    assert refusal.value.reason == "version"


def assert_message_or_refusal(frame: bytes) -> None:
    reason = "message"
    try:
        decode(frame)
    except RefusedMessageError as refusal:
        reason = refusal.reason
    assert reason in ("message", "malformed", "version", "not_finite")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_refusal(junk: bytes) -> None:
    assert_message_or_refusal(junk)


@given(st.data())
def test_a_damaged_message_is_a_message_or_a_refusal(draw: st.DataObject) -> None:
    encoded = bytearray(encode(envelope(build(draw.draw(st.sampled_from(EVERY_KIND))))))
    place = draw.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(encoded)))
    for damaged in (bytes(encoded), bytes(encoded[:cut]), bytes(encoded) + b"\x00"):
        assert_message_or_refusal(damaged)


def test_deep_nesting_is_refused_without_a_crash() -> None:
    with pytest.raises(RefusedMessageError):
        decode(b"\x91" * 200_000)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: kind.__name__)
def test_any_messagepack_library_reads_the_wire(kind: type) -> None:
    message = build(kind)
    version, instance, epoch, seq, ts_pub_ns, body = msgpack.unpackb(encode(envelope(message)))
    assert (version, instance, epoch, seq, ts_pub_ns) == (SCHEMA_VERSION, "test-1", 7, 3, 123)
    assert body[0] == kind.__name__
    assert body == msgspec.msgpack.decode(msgspec.msgpack.encode(message))


@pytest.mark.parametrize("times", [{"ts_recv_ns": 2**63 + 5}, {"ts_recv_ns": -1}, {"ts_event_ns": 2**63}])
def test_times_that_are_no_times_are_refused(times: dict[str, int]) -> None:
    with pytest.raises(RefusedMessageError, match="no times"):
        decode(msgspec.msgpack.encode(envelope(build(SpotQuote, **times))))


def test_a_time_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(RefusedMessageError, match="malformed"):
        encode(envelope(build(SpotQuote, ts_recv_ns=2**70)))
