"""Recorded frames become the events that the feeds would have published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from backtest.event_messages import messages
from backtest.events import Events
from backtest.events_io import EventsError
from backtest.importers.frames_io import is_mine, read
from backtest.replay import TIMER_NS, Summary
from backtest.session import Session, trading_cores
from services.feeds.recording_io import pack_response
from shared.config import load_config
from shared.segments_io import Record, SegmentWriter
from tests.backtest.arnavbhatia import PRESET, RECORDING, SERIES, load_windows, played, records_of
from tests.builders import NS, START_S

BTC = ["btc-5m"]
recorded = pytest.mark.skipif(
    not RECORDING.exists(), reason=f"the recordings are not beside this checkout: {RECORDING}"
)


def write(folder: Path, records: Sequence[Record], name: str = "all") -> Path:
    with SegmentWriter(folder, name) as writer:
        for record in records:
            writer.write(record.ts_recv_ns, record.payload, source=record.source)
    return folder


def quote(second: int, update: int, bid: str = "79999.5") -> Record:
    ms = (START_S + second) * 1000
    frame = {
        "topic": "orderbook.1.BTCUSDT",
        "ts": ms,
        "type": "snapshot",
        "data": {"s": "BTCUSDT", "b": [[bid, "1"]], "a": [["80000", "2"]], "u": update, "seq": update},
        "cts": ms,
    }
    return Record(ms * 1_000_000 + 5, "bybit", json.dumps(frame))


def test_frames_are_heard_by_the_venues_own_protocol(tmp_path: Path) -> None:
    opened = Record(START_S * NS, "bybit.open", b"")
    log = write(tmp_path, [opened, quote(1, 1), quote(2, 2), Record((START_S + 3) * NS, "bybit", "no frame")])
    events = read(log, markets=BTC)
    assert events.spot[["ts_event_ns", "ts_recv_ns", "bid", "bid_size", "ask", "ask_size"]].tolist() == [
        ((START_S + second) * NS, (START_S + second) * NS + 5, 79_999.5, 1.0, 80_000.0, 2.0) for second in (1, 2)
    ]
    assert events.drops == {"bybit_malformed": 1}


def test_a_connection_that_was_lost_is_an_outage(tmp_path: Path) -> None:
    log = write(
        tmp_path,
        [
            Record(START_S * NS, "bybit.open", b""),
            quote(1, 1),
            Record((START_S + 2) * NS, "bybit.close", b""),
            Record((START_S + 5) * NS, "bybit.open", b""),
            quote(6, 1),
        ],
    )
    events = read(log, markets=BTC)
    names = [tuple(events.names[row[name]] for name in ("venue", "channel", "subject")) for row in events.outages]
    spans = [(row["start_ns"], row["end_ns"]) for row, name in zip(events.outages, names, strict=True)]
    assert set(names) == {("bybit", "SpotQuote", "BTC")}
    assert ((START_S + 2) * NS, (START_S + 6) * NS + 5) in spans


def test_a_log_that_names_no_market_needs_to_be_told(tmp_path: Path) -> None:
    with pytest.raises(EventsError, match="say which markets"):
        read(write(tmp_path, [quote(1, 1)]))


def test_the_markets_are_those_that_the_recorder_asked_for(tmp_path: Path) -> None:
    asked = pack_response(f"event:btc-updown-5m-{START_S}", 404, b"")
    log = write(tmp_path, [quote(1, 1), Record((START_S + 2) * NS, "polymarket.response", asked)])
    assert len(read(log).spot) == 1


def test_a_damaged_response_is_named(tmp_path: Path) -> None:
    log = write(tmp_path, [Record(START_S * NS, "polymarket.response", b"\xc1")])
    with pytest.raises(EventsError, match="a recorded response is damaged"):
        read(log, markets=BTC)


def test_frames_of_an_unknown_venue_are_refused_by_name(tmp_path: Path) -> None:
    log = write(tmp_path, [quote(1, 1), Record((START_S + 2) * NS, "kraken", "{}")])
    with pytest.raises(EventsError, match="frames of 'kraken', only bybit"):
        read(log, markets=BTC)


def test_frame_logs_are_told_from_others(tmp_path: Path) -> None:
    frames = write(tmp_path / "frames", [quote(1, 1)], "bybit")
    (segment,) = frames.iterdir()
    assert is_mine(frames)
    assert is_mine(segment)
    assert not is_mine(write(tmp_path / "bus", [Record(START_S * NS, "SpotQuote.BTC.bybit", b"")], "bus"))
    assert not is_mine(tmp_path / "absent")
    assert not is_mine(tmp_path)


WINDOW = 1


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Events:
    """A recorded window."""
    return read(write(tmp_path_factory.mktemp("window"), list(records_of(load_windows()[WINDOW]))))


@recorded
def test_a_recorded_window_has_its_strike_its_books_and_its_outcome(events: Events) -> None:
    window = load_windows()[WINDOW]
    slug = f"btc-updown-5m-{window['window_ts']}"
    strikes = {each.strike or 0.0 for each in events.periods if each.slug == slug and each.strike_state == "PROVEN"}
    assert sorted(strikes) == [pytest.approx(window["label"]["price_to_beat"])]
    won = "CALL" if window["label"]["resolved_up"] else "PUT"
    assert {(each.slug, each.outcome) for each in events.labels} == {(slug, won)}
    spot_prints = [each for each in window["events"] if each[1] == "l"]
    assert abs(int((events.oracle["kind"] == 0).sum()) - len(spot_prints)) <= 2
    assert len(events.books) > 500
    assert len(events.trades) > 500
    assert set(events.drops) <= {"polymarket_duplicate_trade"}


@recorded
def test_the_quoter_says_of_the_events_what_it_says_of_the_frames(events: Events) -> None:
    of_frames, of_events = played(WINDOW), Summary()
    session = Session(trading_cores(load_config(PRESET), SERIES), SERIES)
    session.listeners.append(of_events.hear)
    now_ns = 0
    for message in messages(events):
        now_ns = now_ns or message.ts_recv_ns
        for timer_ns in range(now_ns - now_ns % TIMER_NS + TIMER_NS, message.ts_recv_ns + 1, TIMER_NS):
            session.timer(timer_ns)
        now_ns = message.ts_recv_ns
        session.publish(message)
    assert of_frames.sets.keys() == of_events.sets.keys()
    for action, count in of_frames.sets.items():
        assert of_events.sets[action] == pytest.approx(count, rel=0.02)
    assert of_events.phases.keys() == of_frames.phases.keys()
    for phase, count in of_frames.phases.items():
        assert of_events.phases[phase] == pytest.approx(count, rel=0.02)
