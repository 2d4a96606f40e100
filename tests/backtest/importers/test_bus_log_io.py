"""What the recorder wrote becomes events, and what it lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.events import Label
from backtest.events_io import EventsError
from backtest.importers.bus_log_io import is_mine, read
from services.recorder.__main__ import envelope_of
from shared.codec import encode
from shared.core import Delivery
from shared.messages import (
    AnyMessage,
    FeedStatus,
    OraclePrice,
    OutcomeBook,
    OutcomeTrade,
    Period,
    QuoteSet,
    Settlement,
    SpotQuote,
    SpotTrade,
    topic_of,
)
from shared.segments_io import SegmentWriter
from tests.builders import NS, SLUG, START_S, build


def record(folder: Path, told: list[tuple[AnyMessage, int, int]]) -> Path:
    """A bus log of messages with their epoch and number."""
    with SegmentWriter(folder / "bus", "bus") as writer:
        for message, epoch, seq in told:
            topic = topic_of(message)
            writer.write(message.ts_recv_ns, encode(envelope_of(Delivery(topic, epoch, seq, message))), source=topic)
    return folder


def quotes(*numbers: tuple[int, int]) -> list[tuple[AnyMessage, int, int]]:
    return [(build(SpotQuote, at_s=START_S + place), epoch, seq) for place, (epoch, seq) in enumerate(numbers)]


def test_every_kind_is_taken_over(tmp_path: Path) -> None:
    told: list[AnyMessage] = [
        build(Period),
        build(SpotQuote),
        build(SpotTrade),
        build(OraclePrice),
        build(OutcomeBook),
        build(OutcomeTrade),
        build(Settlement),
        build(QuoteSet),
        build(FeedStatus, state="DOWN"),
        build(FeedStatus, at_s=START_S + 301),
    ]
    events = read(record(tmp_path, [(each, 1, seq) for seq, each in enumerate(told, 1)]))
    assert (len(events.spot), len(events.oracle), len(events.books), len(events.trades)) == (1, 1, 1, 1)
    assert events.periods == (told[0],)
    assert set(events.labels) == {Label(SLUG, "CALL", "official"), Label(SLUG, "CALL", "recomputed")}
    assert events.outages[["start_ns", "end_ns"]].tolist() == [((START_S + 300) * NS, (START_S + 301) * NS)]
    assert events.notes == ("1 public trades of exchanges were recorded; events do not hold them",)
    assert events.drops == {}


def test_lost_messages_are_counted_and_their_stream_was_down(tmp_path: Path) -> None:
    events = read(record(tmp_path, quotes((1, 1), (1, 2), (1, 6), (1, 7))))
    assert events.drops == {"bus_lost_spot_quote": 3}
    (start_ns, end_ns, venue, channel, subject) = events.outages.tolist()[0]
    assert (start_ns, end_ns) == ((START_S + 1) * NS, (START_S + 2) * NS)
    assert [events.names[place] for place in (venue, channel, subject)] == ["bybit", "SpotQuote", "BTC"]


@pytest.mark.parametrize(
    ("message", "stream"),
    [
        (OraclePrice, ["chainlink", "OraclePrice", "BTC.spot"]),
        (OutcomeBook, ["polymarket", "OutcomeBook", "btc-15m.CALL"]),
    ],
)
def test_a_loss_is_told_of_the_stream_it_happened_to(
    tmp_path: Path, message: type[OraclePrice | OutcomeBook], stream: list[str]
) -> None:
    told: list[tuple[AnyMessage, int, int]] = [
        (build(message, at_s=START_S + 300), 1, 1),
        (build(message, at_s=START_S + 301), 1, 3),
    ]
    events = read(record(tmp_path, told))
    assert [events.names[events.outages[0][name]] for name in ("venue", "channel", "subject")] == stream


def test_a_new_run_of_a_publisher_begins_its_numbers_anew(tmp_path: Path) -> None:
    events = read(record(tmp_path, quotes((1, 8), (1, 9), (2, 1), (2, 2))))
    assert events.drops == {}
    assert len(events.spot) == 4


def test_a_message_that_the_broker_repeats_is_taken_once(tmp_path: Path) -> None:
    events = read(record(tmp_path, quotes((1, 8), (1, 8), (1, 9))))
    assert events.drops == {"bus_repeated": 1}
    assert len(events.spot) == 2


def test_lost_health_and_what_is_no_envelope_are_counted(tmp_path: Path) -> None:
    told: list[tuple[AnyMessage, int, int]] = [
        (build(FeedStatus, at_s=START_S), 1, 1),
        (build(FeedStatus, at_s=START_S + 1), 1, 3),
    ]
    record(tmp_path, told)
    with SegmentWriter(tmp_path / "bus", "bus") as writer:
        writer.write(START_S * NS, b"\x01", source="SpotQuote.BTC.bybit")
    events = read(tmp_path)
    assert events.drops == {"bus_lost_feed_status": 1, "bus_malformed": 1}
    assert not len(events.outages)


def test_a_damaged_block_is_counted(tmp_path: Path) -> None:
    record(tmp_path, quotes((1, 1), (1, 2)))
    (segment,) = (tmp_path / "bus").iterdir()
    segment.write_bytes(segment.read_bytes() + b"torn")
    assert read(tmp_path).drops == {"bus_damaged_block": 1}


def test_only_the_markets_asked_for_are_taken(tmp_path: Path) -> None:
    told: list[AnyMessage] = [
        build(SpotQuote),
        build(SpotQuote, asset="ETH"),
        build(Period),
        build(Period, market="btc-5m", slug=f"btc-updown-5m-{START_S}"),
    ]
    log = record(tmp_path, [(each, 1, seq) for seq, each in enumerate(told, 1)])
    events = read(log, markets=["btc-15m"])
    assert len(events.spot) == 1
    assert [each.market for each in events.periods] == ["btc-15m"]


def test_a_log_is_found_in_its_folder_above_it_and_as_a_segment(tmp_path: Path) -> None:
    record(tmp_path, quotes((1, 1)))
    (segment,) = (tmp_path / "bus").iterdir()
    for path in (tmp_path, tmp_path / "bus", segment):
        assert is_mine(path)
        assert len(read(path).spot) == 1
    (tmp_path / "empty").mkdir()
    assert not is_mine(tmp_path / "empty")
    assert not is_mine(tmp_path / "absent")
    with pytest.raises(EventsError, match="no bus log"):
        read(tmp_path / "empty")
