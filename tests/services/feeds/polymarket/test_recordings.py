"""Parsers and books on every recorded frame, against computations written here."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.feeds.polymarket import MarketChannelProtocol
from services.feeds.polymarket.book import expected_hash, mirrored
from services.feeds.polymarket.book_pair import BookPair, Tolerances
from services.feeds.polymarket.gamma import differences, parse_clob_market, parse_event, parse_market
from services.feeds.polymarket.wire import (
    BestFrame,
    BookFrame,
    NewMarketFrame,
    PriceChangeFrame,
    Refused,
    ResolvedFrame,
    RestBook,
    TickSizeFrame,
    TradeFrame,
    decode_frame,
    decode_rest_book,
)
from services.feeds.protocol import Drop, Publish, Status
from shared.messages import OutcomeBook
from tests.services.feeds.polymarket import frames as make
from tests.services.feeds.polymarket.recordings import json_lines, need

SAMPLES = {
    "best_bid_ask": BestFrame,
    "best_bid_ask_quoted": BestFrame,
    "book_initial_snapshot_array": BookFrame,
    "last_trade_price": TradeFrame,
    "market_resolved": ResolvedFrame,
    "new_market_bnb5m": NewMarketFrame,
    "price_change_book_clear_at_resolution": PriceChangeFrame,
    "price_change_two_legs": PriceChangeFrame,
    "tick_size_change": TickSizeFrame,
}

Plain = dict[tuple[str, Decimal], tuple[int, Decimal]]


class PlainBooks:
    """The oracle: dictionaries, exact decimals, and for each level the newest word on it."""

    def __init__(self) -> None:
        self.levels: dict[str, Plain] = {}
        self.whole_ms: dict[str, int] = {}

    def take(self, frame: dict[str, Any]) -> None:
        now = int(frame["timestamp"])
        if frame["event_type"] == "book":
            known = self.levels.setdefault(frame["asset_id"], {})
            self.whole_ms[frame["asset_id"]] = now
            for level in [level for level, (stamp, _) in known.items() if stamp <= now]:
                del known[level]
            for side in ("bids", "asks"):
                for row in frame[side]:
                    known.setdefault((side, Decimal(row["price"])), (now, Decimal(row["size"])))
        elif frame["event_type"] == "price_change":
            for leg in frame["price_changes"]:
                known = self.levels.setdefault(leg["asset_id"], {})
                level = ("bids" if leg["side"] == "BUY" else "asks", Decimal(leg["price"]))
                stamp = known[level][0] if level in known else self.whole_ms.get(leg["asset_id"], 0)
                if now >= stamp:
                    known[level] = (now, Decimal(leg["size"]))

    def side(self, token: str, side: str) -> dict[int, float]:
        rows = self.levels.get(token, {}).items()
        return {int(price * 10_000): float(size) for (which, price), (_, size) in rows if which == side and size}


def compact(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))


@pytest.fixture(scope="module")
def burst() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = need("alihakanvesca_btc5m_ws")
    market = json.loads((folder / "markets.json").read_text())["current"]
    return market, [row["payload"] for row in json_lines(folder / "market-ws.jsonl.gz")]


def pair_of(market: dict[str, Any]) -> BookPair:
    return BookPair(
        condition_id=market["conditionId"],
        call_token=market["upTokenId"],
        put_token=market["downTokenId"],
        tick=100,
        tolerances=Tolerances(),
    )


def feed(pair: BookPair, text: str, ts_ns: int) -> list[Refused]:
    refusals: list[Refused] = []
    for record in decode_frame(text):
        if isinstance(record, BookFrame) and record.market == pair.condition_id:
            refused = pair.on_book(record, ts_ns)
        elif isinstance(record, PriceChangeFrame) and record.market == pair.condition_id:
            refused = pair.on_price_change(record, ts_ns)
        elif isinstance(record, Refused):
            refused = record
        else:
            refused = None
        if refused is not None:
            refusals.append(refused)
    return refusals


def test_the_book_after_each_frame_of_a_burst_is_the_independent_one(burst: Any) -> None:
    market, frames = burst
    pair, plain, now_ms = pair_of(market), PlainBooks(), 0
    states: Counter[str] = Counter()
    for frame in frames:
        now_ms = max(now_ms, int(frame["timestamp"]))
        assert feed(pair, compact(frame), now_ms * 1_000_000) == []
        pair.on_timer(now_ms * 1_000_000)
        if frame["market"] == market["conditionId"]:
            plain.take(frame)
            for book in pair.books.values():
                assert book.levels("bid") == plain.side(book.token, "bids")
                assert book.levels("ask") == plain.side(book.token, "asks")
        states[pair.state] += 1
    assert states["LIVE"] > 5_500
    assert states["WAITING"] <= 9  # the recording begins in the middle: changes first, snapshots a few frames later


def test_the_whole_protocol_publishes_the_burst_without_a_single_doubt(burst: Any) -> None:
    market, frames = burst
    protocol, ts_ns = MarketChannelProtocol(["btc-5m"]), int(frames[0]["timestamp"]) * 1_000_000
    protocol.on_open(ts_ns)
    protocol.on_timer(ts_ns)
    event = make.gamma_event(
        market["startTs"], length="5m", length_s=300, resolutionSource=make.SPOT_SOURCE, cryptoMarketConfig=None
    )
    event["markets"][0]["conditionId"] = market["conditionId"]
    event["markets"][0]["clobTokenIds"] = [market["upTokenId"], market["downTokenId"]]
    protocol.on_response(f"event:{market['slug']}", 200, make.body(event), ts_ns)
    plain, statuses, published = PlainBooks(), [], 0
    for frame in frames:
        ts_ns = max(ts_ns, int(frame["timestamp"]) * 1_000_000)
        acts = protocol.on_frame(compact(frame), ts_ns)
        plain.take(frame)
        statuses += [act for act in acts if isinstance(act, Status)]
        for act in acts:
            assert not isinstance(act, Drop) or act.reason == "unknown_token"
            if isinstance(act, Publish) and isinstance(act.message, OutcomeBook):
                book, published = act.message, published + 1
                token = market["upTokenId" if book.outcome == "CALL" else "downTokenId"]
                bids = [(price // 100, size) for price, size in plain.side(token, "bids").items()]
                asks = [(price // 100, size) for price, size in plain.side(token, "asks").items()]
                assert [*zip(book.bid_ticks, book.bid_sizes, strict=True)] == sorted(bids, reverse=True)
                assert [*zip(book.ask_ticks, book.ask_sizes, strict=True)] == sorted(asks)
    assert published > 7_000
    assert statuses == [Status("OutcomeBook", f"btc-5m.{outcome}", "LIVE", "") for outcome in ("CALL", "PUT")]


def test_best_prices_are_what_each_leg_says_except_in_two_frames_the_venue_itself_mends(burst: Any) -> None:
    market, frames = burst
    pair = pair_of(market)
    books = {book.token: book for book in pair.books.values()}
    newest, wrong, checked = 0, [], 0
    for index, frame in enumerate(frames):
        now = int(frame["timestamp"])
        feed(pair, compact(frame), max(newest, now) * 1_000_000)
        in_order, newest = now >= newest, max(newest, now)
        ours = frame["market"] == market["conditionId"] and frame["event_type"] == "price_change"
        if not ours or not in_order or pair.state == "WAITING":
            continue
        for leg in frame["price_changes"]:
            book = books[leg["asset_id"]]
            bid, ask = book.best_bid() or 0, book.best_ask() or 10_000
            checked += 1
            if (bid, ask) != (round(float(leg["best_bid"]) * 10_000), round(float(leg["best_ask"]) * 10_000)):
                wrong.append(index)
    assert checked > 7_500
    assert sorted(set(wrong)) in ([], [2665], [3261], [2665, 3261])


def test_down_is_the_mirror_of_up_after_nearly_every_frame_and_never_for_long_otherwise(burst: Any) -> None:
    market, frames = burst
    pair, now_ms, unmirrored = pair_of(market), 0, 0
    for frame in frames:
        now_ms = max(now_ms, int(frame["timestamp"]))
        feed(pair, compact(frame), now_ms * 1_000_000)
        call, put = pair.books["CALL"], pair.books["PUT"]
        if call.seeded and put.seeded and frame["event_type"] == "price_change":
            both = mirrored(call.levels("bid"), put.levels("ask")) and mirrored(call.levels("ask"), put.levels("bid"))
            unmirrored += not both
    assert unmirrored <= 10


def test_frames_in_any_order_end_in_the_same_book(burst: Any) -> None:
    market, frames = burst
    ours = [frame for frame in frames if frame["market"] == market["conditionId"]]
    as_they_came, in_order = pair_of(market), pair_of(market)
    for pair, order in ((as_they_came, ours), (in_order, sorted(ours, key=lambda frame: int(frame["timestamp"])))):
        for frame in order:
            feed(pair, compact(frame), 1_776_808_426_000 * 1_000_000)
    for outcome in as_they_came.books:
        assert as_they_came.books[outcome].levels("bid") == in_order.books[outcome].levels("bid")
        assert as_they_came.books[outcome].levels("ask") == in_order.books[outcome].levels("ask")


def test_full_depth_books_of_a_five_minute_market_are_the_recorded_rows() -> None:
    files = sorted(need("cronosvirus00_btc5m_books").glob("*.parquet"))
    assert files
    seen = 0
    for path in files[::4]:
        pairs: dict[str, Any] = {}
        for row in pq.read_table(path, columns=["raw_data", "bids", "asks", "asset_id"]).to_pylist():
            frame = json.loads(row["raw_data"])
            pair = pairs.setdefault(
                row["asset_id"],
                BookPair(
                    condition_id=frame["market"],
                    call_token=row["asset_id"],
                    put_token="1",
                    tick=100,
                    tolerances=Tolerances(),
                ),
            )
            book = pair.books["CALL"]
            known_ms = book.newest_ms
            assert feed(pair, row["raw_data"], int(frame["timestamp"]) * 1_000_000) == []
            if int(frame["timestamp"]) < known_ms:
                continue
            for side, column in (("bid", "bids"), ("ask", "asks")):
                expected = {round(float(x["price"]) * 10_000): float(x["size"]) for x in json.loads(row[column])}
                assert book.levels(side) == expected
            seen += 1
    assert seen > 1_000


def test_every_raw_polymarket_frame_of_april_is_understood() -> None:
    kinds: Counter[str] = Counter()
    for path in sorted(need("jonahgrigoryan_raw_multi").glob("*/raw_messages.jsonl.gz")):
        for row in json_lines(path):
            if row["source"] != "polymarket_clob":
                continue
            payload = row["payload"]
            rest = decode_rest_book(payload.encode()) if '"min_order_size"' in payload[-200:] else None
            if isinstance(rest, RestBook) and not payload.lstrip().startswith("["):
                assert expected_hash(rest) == rest.hash
                kinds["rest"] += 1
                continue
            for record in decode_frame(payload):
                assert not isinstance(record, Refused), record
                kinds[type(record).__name__] += 1
                if isinstance(record, BookFrame):
                    pair = BookPair(
                        condition_id=record.market,
                        call_token=record.asset_id,
                        put_token="1",
                        tick=100,
                        tolerances=Tolerances(),
                    )
                    assert pair.on_book(record, row["recv_wall_ts"] * 1_000_000) is None
                    assert len(pair.books["CALL"].levels("bid")) == len(record.bids)
    assert kinds["rest"] > 20
    assert kinds["BookFrame"] > 20


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_frame_decodes_as_its_kind(name: str) -> None:
    records = decode_frame(need(f"polymarket/ws_market/{name}.json").read_bytes())
    assert {type(record) for record in records} == {SAMPLES[name]}


def test_the_initial_snapshot_is_mirrored_and_carries_its_hash() -> None:
    records = decode_frame(need("polymarket/ws_market/book_initial_snapshot_array.json").read_bytes())
    first, second = records
    assert isinstance(first, BookFrame)
    assert isinstance(second, BookFrame)
    pair = BookPair(
        condition_id=first.market,
        call_token=first.asset_id,
        put_token=second.asset_id,
        tick=100,
        tolerances=Tolerances(),
    )
    for frame in (first, second):
        assert pair.on_book(frame, int(frame.timestamp) * 1_000_000) is None
        fields = {name: getattr(frame, name) for name in ("market", "asset_id", "timestamp", "bids", "asks", "hash")}
        rest = RestBook(
            **fields,
            tick_size=frame.tick_size or "",
            min_order_size="5",
            neg_risk=False,
            last_trade_price=frame.last_trade_price,
        )
        assert expected_hash(rest) == frame.hash
    assert pair.state == "LIVE"
    pair.on_timer(int(first.timestamp) * 1_000_000 + 10**10)
    assert pair.state == "LIVE"


def test_the_version_two_book_carries_its_hash_and_is_empty() -> None:
    rest = decode_rest_book(need("polymarket/protocol_v2/book_v2.json").read_bytes())
    assert isinstance(rest, RestBook)
    assert expected_hash(rest) == rest.hash
    (frame,) = decode_frame(need("polymarket/protocol_v2/ws_market_v2_book_frame.json").read_bytes())
    assert isinstance(frame, BookFrame)
    assert (frame.version, frame.bids, frame.asks) == ("v2", [], [])


def test_the_live_market_and_its_clob_record_agree() -> None:
    slug = "btc-updown-15m-1791241200"
    rules = parse_market(need("polymarket/gamma/market_btc15m_1791241200.json").read_bytes(), slug)
    clob = parse_clob_market(need("polymarket/clob_rest/clob_markets_btc15m_v1.json").read_bytes())
    assert not isinstance(rules, Refused)
    assert not isinstance(clob, Refused)
    assert rules.refusal is None
    assert (rules.settlement, rules.twap_lookback_s, rules.tick_units, rules.min_size_shares) == ("twap", 60, 100, 5.0)
    assert (rules.fee_rate, rules.fee_exponent, rules.rebate_rate, rules.version) == (0.07, 1.0, 0.2, "v1")
    assert (rules.rewards_min_shares, rules.rewards_max_spread) == (50.0, 0.045)
    assert rules.call_token.startswith("2507093434")
    assert differences(rules, clob) is None


def test_the_resolved_event_tells_its_prices_and_its_outcome() -> None:
    slug = "btc-updown-5m-1790123400"
    facts = parse_event(need("polymarket/gamma/event_btc5m_1790123400_resolved_excerpt.json").read_bytes(), slug)
    assert not isinstance(facts, Refused)
    assert (facts.price_to_beat, facts.final_price) == (86434.33744369619, 86519.16969618265)
    assert (facts.official, facts.closed, facts.rules.tick_units) == ("CALL", True, 10)
    assert (facts.rules.refusal, facts.rules.accepting_orders) == (None, False)


def test_the_version_two_clob_market_derives_its_positions_from_its_condition() -> None:
    clob = parse_clob_market(need("polymarket/protocol_v2/clob_markets_updown_canary_v2.json").read_bytes())
    assert not isinstance(clob, Refused)
    assert clob.version == "v2"
    condition = int(clob.condition_id, 16)
    assert clob.tokens == {"CALL": str(condition), "PUT": str(condition + 1)}
