from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from services.simulator.server_io import Simulator
from services.simulator.settings import SimulatorSettings
from services.simulator.urls import VenueUrls
from services.simulator.wire import iso
from tests.services.simulator.builders import START_MS

POLYBOLT = [
    {"op": "auth", "rid": "1", "auth": {"apiKey": "k", "secret": "s", "passphrase": "p"}},
    {
        "op": "subscribe",
        "rid": "2",
        "subscriptions": [{"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}}],
    },
]
BYBIT = {"req_id": "1", "op": "subscribe", "args": ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"]}


class Client:
    """A client of one running simulator."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.urls: VenueUrls = simulator.urls
        self.http = http

    async def get(self, url: str, **query: str) -> tuple[int, Any]:
        async with self.http.get(url, params=query) as response:
            return response.status, json.loads(await response.text())

    async def fault(self, name: str, venue: str = "*", **more: Any) -> None:
        async with self.http.post(self.urls.fault, json={"name": name, "venue": venue, **more}) as response:
            assert response.status == 200, await response.text()

    async def clear(self) -> None:
        async with self.http.delete(self.urls.fault) as response:
            assert await response.json() == []

    def tokens(self) -> list[str]:
        world = self.simulator.world
        return list(world.current_period(world.series[0]).tokens)


async def until(socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[str], bool]) -> str:
    """The next frame that is wanted."""
    while True:
        text = await socket.receive_str(timeout=8.0)
        if wanted(text):
            return text


def served(scenario: Callable[[Client], Awaitable[None]], *, series: str = "btc-15m") -> None:
    """Run a scenario against a simulator on an ephemeral port, always at the same place of the same period."""

    async def run() -> None:
        began_s = time.monotonic()
        chosen = SimulatorSettings(port=0, series=series, missing_share=0.0)

        def clock() -> int:
            return START_MS + int(1000 * (time.monotonic() - began_s))

        async with Simulator(chosen, clock=clock) as simulator, aiohttp.ClientSession() as http:
            await scenario(Client(simulator, http))

    asyncio.run(asyncio.wait_for(run(), timeout=20.0))


@pytest.mark.parametrize(
    ("venue", "messages", "wanted"),
    [
        ("bybit_ws", [BYBIT], ["pong", '"topic":"orderbook.1.BTCUSDT"', '"topic":"publicTrade.BTCUSDT"']),
        (
            "coinbase_ws",
            [{"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["matches", "level2_batch"]}],
            ['"type":"subscriptions"', '"type":"last_match"', '"type":"snapshot"', '"type":"l2update"'],
        ),
        ("polybolt_ws", POLYBOLT, ['"op":"authed"', '"op":"subscribed"', '"snapshot":true', '"seq":2']),
        (
            "rtds_ws",
            [{"action": "subscribe", "subscriptions": [{"topic": "crypto_prices", "type": "update"}]}],
            ['"topic":"crypto_prices","type":"update"'],
        ),
    ],
)
def test_a_client_of_each_venue_sees_its_frames_in_order(venue: str, messages: list[Any], wanted: list[str]) -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(getattr(client.urls, venue)) as socket:
            if venue == "bybit_ws":
                await socket.send_str('{"op":"ping"}')
            for message in messages:
                await socket.send_str(json.dumps(message))
            for part in wanted:
                assert part in await until(socket, lambda text, part=part: part in text)  # type: ignore[misc]

    served(scenario)


def test_connections_events_and_faults_are_metrics() -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(client.urls.rtds_ws):
            await client.fault("freeze", "bybit")
            async with client.http.get(client.urls.gamma + "/metrics") as response:
                page = (await response.text()).splitlines()
        assert 'simulator_connections{venue="rtds"} 1.0' in page
        assert 'simulator_connections{venue="bybit"} 0.0' in page
        assert "simulator_active_faults 1.0" in page
        assert any(line.startswith("simulator_events_total") for line in page)
        assert any(line.startswith("process_resident_memory_bytes") for line in page)

    served(scenario)


def test_a_client_of_the_market_channel_sees_books_changes_and_pongs() -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(client.urls.market_ws) as socket:
            await socket.send_str(json.dumps({"assets_ids": client.tokens(), "type": "market"}))
            books = json.loads(await socket.receive_str(timeout=5.0))
            assert [book["event_type"] for book in books] == ["book", "book"]
            await until(socket, lambda text: '"event_type":"price_change"' in text)
            await socket.send_str("PING")
            assert await until(socket, lambda text: text == "PONG") == "PONG"

    served(scenario)


def test_rest_answers_agree_with_each_other() -> None:
    async def scenario(client: Client) -> None:
        world = client.simulator.world
        period = world.current_period(world.series[0])
        gamma, clob = client.urls.gamma, client.urls.clob
        _, event = await client.get(f"{gamma}/events/slug/{period.slug}")
        _, market = await client.get(f"{gamma}/markets/slug/{period.slug}")
        assert event["markets"][0]["conditionId"] == market["conditionId"] == period.condition_id
        _, listed = await client.get(f"{gamma}/events", tag_slug="up-or-down", closed="false")
        assert event["slug"] in [row["slug"] for row in listed]
        _, page = await client.get(f"{gamma}/events/keyset", series_id="10192", closed="false", limit="2")
        _, rest = await client.get(
            f"{gamma}/events/keyset", series_id="10192", closed="false", after_cursor=page["next_cursor"]
        )
        assert {row["slug"] for row in page["events"]}.isdisjoint({row["slug"] for row in rest["events"]})
        assert "next_cursor" not in rest
        _, parameters = await client.get(f"{clob}/clob-markets/{period.condition_id}")
        assert [row["t"] for row in parameters["t"]] == json.loads(market["clobTokenIds"])
        _, book = await client.get(f"{clob}/book", token_id=period.tokens[0])
        assert book["asset_id"] == period.tokens[0]
        async with client.http.post(f"{clob}/books", json=[{"token_id": t} for t in (*period.tokens, "1")]) as both:
            assert len(json.loads(await both.text())) == 2
        _, now_s = await client.get(f"{clob}/time")
        assert abs(now_s - world.now_ms // 1000) <= 1
        query = {"symbol": "BTC", "eventStartTime": iso(period.start_s * 1000), "endDate": iso(period.end_s * 1000)}
        _, strike = await client.get(
            client.urls.crypto_price, **query, variant="fifteen", twapEnabled="true", twapLookbackSeconds="60"
        )
        _, truth = await client.get(client.urls.truth)
        assert strike["openPrice"] in (truth["markets"]["btc-15m"]["strike"], None)
        _, trades = await client.get(f"{client.urls.coinbase_rest}/products/BTC-USD/trades", limit="3")
        assert trades[0]["trade_id"] == world.coinbase["BTC"].last_match.trade_id
        assert list(trades[0]) == ["trade_id", "side", "size", "price", "time"]
        assert (await client.get(f"{gamma}/events/slug/nope"))[0] == 404
        assert (await client.get(f"{clob}/book", token_id="1"))[0] == 404
        assert (await client.get(client.urls.crypto_price, symbol="BTC"))[0] == 400

    served(scenario)


def test_a_frozen_venue_answers_pings_and_comes_back_when_cleared() -> None:
    async def scenario(client: Client) -> None:
        async with (
            client.http.ws_connect(client.urls.bybit_ws) as socket,
            client.http.ws_connect(client.urls.coinbase_ws) as other,
        ):
            await other.send_str('{"type":"subscribe","product_ids":["BTC-USD"],"channels":["level2_batch"]}')
            await socket.send_str(json.dumps(BYBIT))
            await until(socket, lambda text: "orderbook" in text)
            await client.fault("freeze", "bybit")
            for request_id in ("a", "b"):
                await socket.send_str(json.dumps({"op": "ping", "req_id": request_id}))
                await until(socket, lambda text: "pong" in text)
                for _ in range(5):  # the other venue's frames are the clock
                    await until(other, lambda text: "l2update" in text)
            await socket.send_str('{"op":"ping","req_id":"c"}')
            assert '"req_id":"c"' in await socket.receive_str(timeout=5.0)  # no quote came in between
            await client.clear()
            await until(socket, lambda text: "orderbook" in text)

    served(scenario)


def test_a_disconnect_closes_the_sockets_and_refuses_new_ones() -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(client.urls.market_ws) as socket:
            await client.fault("disconnect", "market")
            assert (await socket.receive(timeout=5.0)).type is aiohttp.WSMsgType.CLOSE
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.http.ws_connect(client.urls.market_ws)
            assert refused.value.status == 503
        await client.clear()
        async with client.http.ws_connect(client.urls.market_ws) as socket:
            assert not socket.closed

    served(scenario)


def test_rest_faults_are_visible() -> None:
    async def scenario(client: Client) -> None:
        token = client.tokens()[0]
        await client.fault("ghost_book", "clob")
        _, book = await client.get(f"{client.urls.clob}/book", token_id=token)
        assert [row["price"] for row in book["bids"] + book["asks"]] == ["0.01", "0.99"]
        await client.clear()
        await client.fault("http_errors", "clob")
        async with client.http.get(f"{client.urls.clob}/book", params={"token_id": token}) as first:
            assert first.status == 500
        async with client.http.get(f"{client.urls.clob}/book", params={"token_id": token}) as second:
            assert (second.status, second.headers["Retry-After"]) == (429, "1")
        await client.clear()
        await client.fault("clock_skew", "clob")
        _, now_s = await client.get(f"{client.urls.clob}/time")
        assert now_s > client.simulator.world.now_ms / 1000 + 3_000
        async with client.http.post(client.urls.fault, json={"name": "earthquake"}) as refused:
            assert refused.status == 400

    served(scenario)


def test_a_late_strike_is_missing_at_the_website_and_in_the_stream() -> None:
    async def scenario(client: Client) -> None:
        world = client.simulator.world
        series = world.series[0]
        start_s = world.now_ms // 1000 // series.length_s * series.length_s
        query = {
            "symbol": "BTC",
            "eventStartTime": iso(start_s * 1000),
            "endDate": iso((start_s + series.length_s) * 1000),
            "twapEnabled": "true",
            "twapLookbackSeconds": "60",
        }

        async def stamps() -> set[int]:
            async with client.http.ws_connect(client.urls.polybolt_ws) as socket:
                for message in POLYBOLT:
                    await socket.send_str(json.dumps(message))
                snapshot = json.loads(await until(socket, lambda text: '"snapshot":true' in text))
                return {row["timestamp"] // 1000 for row in snapshot["payload"]["data"]}

        before = await stamps()
        await client.fault("late_strike")
        after = await stamps()
        assert any(second % series.length_s == 0 for second in before)
        assert not any(second % series.length_s == 0 for second in after)
        assert (await client.get(client.urls.crypto_price, **query))[1]["openPrice"] is None

    served(scenario, series="btc-30s")


def test_the_tick_size_changes_on_demand_on_both_tokens() -> None:
    async def scenario(client: Client) -> None:
        async with client.http.ws_connect(client.urls.market_ws) as socket:
            await socket.send_str(json.dumps({"assets_ids": client.tokens(), "type": "market"}))
            await client.fault("tick_size_change", "market", duration_s=0.5)
            texts = [await until(socket, lambda text: "tick_size_change" in text) for _ in range(2)]
            assert {json.loads(text)["asset_id"] for text in texts} == set(client.tokens())

    served(scenario)


def test_a_slow_venue_delivers_late() -> None:
    async def scenario(client: Client) -> None:
        await client.fault("slow", "bybit", delay_s=0.4)
        async with client.http.ws_connect(client.urls.bybit_ws) as socket:
            await socket.send_str(json.dumps(BYBIT))
            frame = json.loads(await until(socket, lambda text: "orderbook" in text))
            later = json.loads(await until(socket, lambda text: "orderbook" in text))
            assert client.simulator.world.now_ms - max(frame["ts"], later["ts"]) >= 350

    served(scenario)
