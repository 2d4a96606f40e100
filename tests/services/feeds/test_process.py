"""A feed as a real process, on a bus of its own."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

from shared.bus import Endpoints, Subscriber
from shared.core import Delivery
from shared.messages import Heartbeat, Message, Period, SpotQuote
from tests.processes import running


def health(beat: Message) -> str:
    """What a process says of itself, well or not."""
    assert isinstance(beat, Heartbeat)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{beat.metrics_port}/health", timeout=20) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())


def test_the_files_feed_publishes_what_a_collector_writes_and_stops_cleanly(tmp_path: Path) -> None:
    bus, folder = f"ipc://{tmp_path}/bus", tmp_path / "feeds"
    folder.mkdir()
    now_ms = time.time_ns() // 1_000_000
    (folder / "coinbase.json").write_text(json.dumps({"price": 76568.5, "timestamp": now_ms}))
    (folder / "chainlink.json").write_text(json.dumps({"price": 76570.0, "timestamp": now_ms, "strike": 76500.0}))
    variables = {"MM_FEED_FILES_DIR": str(folder), "MM_FEED_FILES_TRUST_STRIKE": "true"}
    seen: dict[type[Message], Message] = {}
    with (
        running("services.broker", bus=bus),
        running("services.feeds", "files", bus=bus, variables=variables),
    ):
        subscriber = Subscriber(Endpoints.of(bus), ["SpotQuote.BTC.", "Period.btc-15m.", "Heartbeat.files."])
        events = subscriber.join(20.0)
        while not {SpotQuote, Period, Heartbeat} <= seen.keys():
            for event in events:
                if isinstance(event, Delivery):
                    seen[type(event.message)] = event.message
            events = subscriber.receive(1000)
        subscriber.close()
        assert "LIVE" in health(seen[Heartbeat])
    quote, period = seen[SpotQuote], seen[Period]
    assert isinstance(quote, SpotQuote)
    assert isinstance(period, Period)
    assert (quote.venue, quote.bid) == ("coinbase", 76568.5)
    assert (period.strike, period.strike_state, period.strike_source) == (76500.0, "PROVEN", "file_trusted")
