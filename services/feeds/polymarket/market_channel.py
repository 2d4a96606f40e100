"""Polymarket as a pure protocol: discovery, books, trades, strike and settlement of any number of series.

Frames come from the market channel, answers from Gamma, the order book's REST side and the website; oracle ticks come
from our own bus (`on_message`), because the strike and the settlement are values of that stream.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from services.feeds.polymarket.book_pair import Tolerances
from services.feeds.polymarket.gamma import EventFacts, Number, parse_clob_market, parse_event, parse_listing
from services.feeds.polymarket.period_market import PeriodMarket, tokens_of
from services.feeds.polymarket.schedule import Polls
from services.feeds.polymarket.series_periods import SeriesPeriods
from services.feeds.polymarket.strike import Source, bears_on
from services.feeds.polymarket.units import positive
from services.feeds.polymarket.urls import Urls, book_url, clob_market_url, crypto_price_url, event_url, listing_url
from services.feeds.polymarket.wire import (
    BestFrame,
    BookFrame,
    ChannelFrame,
    NewMarketFrame,
    PriceChangeFrame,
    Refused,
    ResolvedFrame,
    TickSizeFrame,
    TradeFrame,
    decode_frame,
    decode_rest_book,
)
from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send
from shared.market import NS_PER_S, Series, parse_slug
from shared.messages import AnyMessage, OracleHistory, OracleKind, OraclePrice, Outcome

# A frame with any of these may have been lost for any book.
_LOSSES = frozenset(
    {"malformed_frame", "malformed_book", "malformed_price_change", "malformed_tick_size_change", "frame_too_large"}
)
_ORACLE_TICKS_KEPT = 1_800
_TOKENS_REMEMBERED = 64


class Timing(NamedTuple):
    """How often what happens (seconds)."""

    ping_s: float = 10.0
    silence_s: float = 30.0
    quiet_s: float = 3.0
    compare_s: float = 5.0
    discover_s: float = 2.0
    refresh_s: float = 60.0
    prove_s: float = 10.0
    settle_s: float = 15.0
    listing_s: float = 60.0


class _CryptoPrice(msgspec.Struct, rename="camel"):
    open_price: Number = None


_crypto_price = msgspec.json.Decoder(_CryptoPrice)


class MarketChannelProtocol:
    """The venue `polymarket` for some series. See `services/feeds/protocol.py` for the interface."""

    venue = "polymarket"

    def __init__(
        self,
        markets: Sequence[Series | str],
        *,
        urls: Urls = Urls(),  # noqa: B008  an immutable record
        timing: Timing = Timing(),  # noqa: B008
        tolerances: Tolerances = Tolerances(),  # noqa: B008
        near_ticks: int = 10,
    ) -> None:
        series = [Series.parse(market) if isinstance(market, str) else market for market in markets]
        self._series = {one.name: SeriesPeriods(one) for one in series}
        self._urls = urls
        self._timing = timing
        self._tolerances = tolerances
        self._near_ticks = near_ticks
        self._polls = Polls()
        self._by_token: dict[str, PeriodMarket] = {}
        self._by_condition: dict[str, PeriodMarket] = {}
        self._oracle: dict[tuple[str, OracleKind], dict[int, float]] = {}
        self._open = False
        self._subscribed: set[str] = set()
        self._greeted = False
        self._left: deque[str] = deque(maxlen=_TOKENS_REMEMBERED)
        self._ping_due_ns = 0
        self._heard_ns = 0
        self._boundary_ns = 0

    # The runner's interface

    def on_open(self, ts_ns: int) -> list[Act]:
        """The socket is open: subscribe whatever is known already."""
        self._open, self._greeted = True, False
        self._subscribed.clear()
        self._heard_ns = ts_ns
        self._ping_due_ns = ts_ns + int(self._timing.ping_s * NS_PER_S)
        acts: list[Act] = []
        for market in self._all_markets():
            acts += market.on_connection("no_snapshot", ts_ns)
        return acts + self._subscribe(ts_ns)

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> list[Act]:
        """One frame. Never raises on venue bytes."""
        self._heard_ns = ts_recv_ns
        if frame in ("PONG", b"PONG"):
            return []
        if frame in ("INVALID OPERATION", b"INVALID OPERATION"):
            return [Drop("invalid_operation", "the venue did not understand a subscription")]
        acts: list[Act] = self._roll(ts_recv_ns) if ts_recv_ns >= self._boundary_ns else []
        for record in decode_frame(frame):
            acts += self._on_record(record, ts_recv_ns)
        return self._one_reconnect(acts)

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> list[Act]:
        """A REST answer; status 0 is none."""
        kind, _, subject = request.partition(":")
        rolled = self._roll(ts_recv_ns) if ts_recv_ns >= self._boundary_ns else []
        if status != 200:
            self._polls.answered(request, ts_recv_ns, served=False, again_s=self._timing.discover_s)
            if kind == "event":
                self._on_missing(subject, status)
            return [*rolled, Drop("no_answer" if status == 0 else f"http_{status}", request[:120])]
        match kind:
            case "event":
                acts = self._on_event(request, subject, body, ts_recv_ns)
            case "clob":
                acts = self._on_clob(request, subject, body, ts_recv_ns)
            case "book":
                acts = self._on_rest_book(request, subject, body, ts_recv_ns)
            case "price":
                acts = self._on_crypto_price(request, subject, body, ts_recv_ns)
            case "listing":
                acts = self._on_listing(request, body, ts_recv_ns)
            case _:
                acts = [Drop("unknown_request", request[:80])]
        return self._one_reconnect(rolled + acts)

    def on_timer(self, ts_ns: int) -> list[Act]:
        """Pings, rollovers, what is due to be asked, graces that ended."""
        acts, pruned = self._roll(ts_ns), False
        for periods in self._series.values():
            acts += self._ask(periods, ts_ns)
            for market in periods.all_markets():
                acts += market.on_timer(ts_ns)
            pruned |= periods.prune(ts_ns)
            acts += periods.publish_periods(ts_ns)
        if pruned:
            self._index()
        acts += self._polls.due("listing", listing_url(self._urls, ts_ns, ahead_s=self._longest_s()), ts_ns)
        acts += self._subscribe(ts_ns)
        acts += self._keep_alive(ts_ns)
        self._polls.prune(ts_ns)
        return self._one_reconnect(acts)

    def on_close(self, ts_ns: int) -> list[Act]:
        """The socket closed: every book is unknown until the next snapshot."""
        self._open = False
        acts: list[Act] = []
        for market in self._all_markets():
            acts += market.on_connection("disconnected", ts_ns)
        return acts

    # Oracle ticks, from our own bus

    def on_message(self, message: AnyMessage) -> list[Act]:
        """`OraclePrice` and `OracleHistory`; others mean nothing here."""
        if isinstance(message, OraclePrice):
            second, rest = divmod(message.ts_event_ns, NS_PER_S)
            ticks = [(second, message.price)] if rest == 0 else []
        elif isinstance(message, OracleHistory):
            ticks = list(zip(message.seconds, message.prices, strict=False))
        else:
            return []
        acts: list[Act] = []
        for second, price in ticks:
            acts += self.on_oracle(message.asset, message.kind, second, price, ts_recv_ns=message.ts_recv_ns)
        return acts

    def on_oracle(self, asset: str, kind: OracleKind, second: int, price: float, *, ts_recv_ns: int) -> list[Act]:
        """One oracle tick with its own stamp (Unix seconds): it may be a strike, a final price, or both."""
        if not 0.0 < price < float("inf"):
            return [Drop("bad_oracle_price", f"{asset} {kind} {price}")]
        kept = self._oracle.setdefault((asset, kind), {})
        if kept.get(second) == price:
            return []
        kept[second] = price
        if len(kept) > _ORACLE_TICKS_KEPT:
            del kept[min(kept)]
        acts: list[Act] = []
        for periods in self._series.values():
            if periods.series.asset == asset:
                for market in periods.all_markets():
                    acts += self._tick(periods, market, kind, second, price, ts_recv_ns)
        return acts

    # Frames

    def _on_record(self, record: ChannelFrame | Refused, ts_ns: int) -> list[Act]:
        match record:
            case PriceChangeFrame():
                return self._on_price_change(record, ts_ns)
            case BookFrame() | TradeFrame() | TickSizeFrame():
                market = self._by_token.get(record.asset_id)
                if market is None:
                    return self._not_ours(record.asset_id)
                if isinstance(record, BookFrame):
                    return market.on_book(record, ts_ns)
                if isinstance(record, TradeFrame):
                    return market.on_trade(record, ts_ns)
                acts = market.on_tick_size(record, ts_ns)
                return acts + self._series[market.series.name].publish_periods(ts_ns)
            case ResolvedFrame():
                return self._on_resolved(record, ts_ns)
            case NewMarketFrame():
                self._polls.hurry(f"event:{record.slug}", ts_ns)
                return []
            case BestFrame():
                return []
            case Refused():
                acts = [Drop(*record)]
                if record.reason in _LOSSES:
                    for market in self._all_markets():
                        acts += market.doubt(record.reason, ts_ns)
                return acts

    def _on_price_change(self, frame: PriceChangeFrame, ts_ns: int) -> list[Act]:
        market = self._by_condition.get(frame.market)
        if market is not None:
            return market.on_price_change(frame, ts_ns)
        for leg in frame.price_changes:
            owner = self._by_token.get(leg.asset_id)
            if owner is not None:
                return [
                    Drop("wrong_market", f"{leg.asset_id[:12]} in {frame.market[:14]}"),
                    *owner.doubt("wrong_market", ts_ns),
                ]
        return self._not_ours(frame.price_changes[0].asset_id if frame.price_changes else frame.market)

    def _on_resolved(self, frame: ResolvedFrame, ts_ns: int) -> list[Act]:
        market = self._by_condition.get(frame.market)
        if market is None:
            return []
        return [*market.on_resolved(frame, ts_ns), *self._settle(market, ts_ns)]

    def _not_ours(self, token: str) -> list[Act]:
        return [] if token in self._left else [Drop("unknown_token", token[:20])]

    # Answers

    def _on_missing(self, slug: str, status: int) -> None:
        found = self._periods_of(slug)
        if found is not None and (status == 404 or found[1] not in found[0].missing):
            found[0].missing[found[1]] = "not_listed" if status == 404 else "gamma_unreachable"

    def _on_event(self, request: str, slug: str, body: bytes, ts_ns: int) -> list[Act]:
        found = self._periods_of(slug)
        facts = parse_event(body, slug)
        if isinstance(facts, Refused) or found is None:
            self._polls.answered(request, ts_ns, served=False, again_s=self._timing.discover_s)
            if found is not None and isinstance(facts, Refused):
                found[0].missing.setdefault(found[1], facts.reason)
            return [Drop(*facts)] if isinstance(facts, Refused) else [Drop("unknown_request", request[:80])]
        periods, start_s = found
        acts = self._learn(periods, start_s, facts, ts_ns)
        self._polls.answered(request, ts_ns, served=True, again_s=self._event_again_s(periods, start_s))
        return acts + periods.publish_periods(ts_ns) + self._subscribe(ts_ns)

    def _learn(self, periods: SeriesPeriods, start_s: int, facts: EventFacts, ts_ns: int) -> list[Act]:
        acts: list[Act] = []
        market = periods.find(start_s)
        if market is not None and market.tokens:
            market.on_facts(facts)
        elif start_s in periods.starts():
            market = PeriodMarket(periods.series, facts, tolerances=self._tolerances, near_ticks=self._near_ticks)
            acts += periods.add(start_s, market, ts_ns)
            self._index()
            acts += self._replay_oracle(periods, market, ts_ns)
        if market is not None:
            if facts.price_to_beat is not None and ts_ns >= start_s * NS_PER_S:
                acts += self._published(periods, market, "gamma_price_to_beat", facts.price_to_beat, ts_ns)
            if facts.official is not None and ts_ns >= facts.rules.end_s * NS_PER_S:
                acts += self._settle(market, ts_ns) if market.audit.on_official(facts.official) else []
            if facts.final_price is not None and ts_ns >= facts.rules.end_s * NS_PER_S:
                acts += self._settle(market, ts_ns) if market.audit.on_published_final(facts.final_price) else []
        following = periods.find(facts.rules.end_s)
        if following is not None and facts.final_price is not None and _same_rule(facts, following):
            acts += self._published(periods, following, "gamma_previous_final", facts.final_price, ts_ns)
        return acts

    def _on_clob(self, request: str, condition_id: str, body: bytes, ts_ns: int) -> list[Act]:
        clob = parse_clob_market(body)
        self._polls.answered(
            request,
            ts_ns,
            served=not isinstance(clob, Refused),
            again_s=self._timing.discover_s if isinstance(clob, Refused) else 5.0,
        )
        market = self._by_condition.get(condition_id)
        if isinstance(clob, Refused):
            return [Drop(*clob)]
        if market is None:
            return []
        market.on_clob(clob)
        return self._series[market.series.name].publish_periods(ts_ns)

    def _on_rest_book(self, request: str, token: str, body: bytes, ts_ns: int) -> list[Act]:
        rest = decode_rest_book(body)
        self._polls.answered(request, ts_ns, served=not isinstance(rest, Refused), again_s=self._timing.compare_s)
        market = self._by_token.get(token)
        if isinstance(rest, Refused):
            return [Drop(*rest)]
        if market is None:
            return []
        outcome: Outcome = "CALL" if token == market.rules.call_token else "PUT"
        return market.on_rest_book(outcome, rest, ts_ns)

    def _on_crypto_price(self, request: str, slug: str, body: bytes, ts_ns: int) -> list[Act]:
        try:
            price = positive(_crypto_price.decode(body).open_price)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            self._polls.answered(request, ts_ns, served=False, again_s=self._timing.prove_s)
            return [Drop("malformed_crypto_price", f"{error}: {body[:120]!r}")]
        found = self._periods_of(slug)
        market = found[0].find(found[1]) if found is not None else None
        proven = market is not None and market.strike.view.state == "PROVEN"
        self._polls.answered(
            request, ts_ns, served=True, again_s=self._timing.refresh_s if proven else self._timing.prove_s
        )
        if found is None or market is None or price is None or ts_ns < found[1] * NS_PER_S:
            return []
        return self._published(found[0], market, "website", price, ts_ns)

    def _on_listing(self, request: str, body: bytes, ts_ns: int) -> list[Act]:
        """The listing must name the current period of each series that it lists at all."""
        slugs = parse_listing(body)
        self._polls.answered(request, ts_ns, served=not isinstance(slugs, Refused), again_s=self._timing.listing_s)
        if isinstance(slugs, Refused):
            return [Drop(*slugs)]
        acts: list[Act] = []
        for periods in self._series.values():
            prefix = periods.series.slug(0).rpartition("-")[0]
            listed = {slug for slug in slugs if slug.rpartition("-")[0] == prefix}
            expected = {periods.series.slug(start_s) for start_s in periods.starts()}
            if listed and not listed & expected:
                acts.append(
                    Drop("listing_mismatch", f"expected {min(expected)}, listed {', '.join(sorted(listed)[:3])}")
                )
            for slug in listed & expected:
                found = self._periods_of(slug)
                if found is not None and found[0].find(found[1]) is None:
                    self._polls.hurry(f"event:{slug}", ts_ns)
        return acts

    # What is due

    def _ask(self, periods: SeriesPeriods, ts_ns: int) -> list[Act]:
        now_s = ts_ns // NS_PER_S
        acts: list[Act] = []
        for start_s in periods.starts():
            market = periods.markets.get(start_s)
            acts += self._fetch_event(periods.series.slug(start_s), ts_ns)
            if market is not None and market.tokens and (market.clob is None or market.refusal is not None):
                condition_id = market.rules.condition_id
                acts += self._polls.due(f"clob:{condition_id}", clob_market_url(self._urls, condition_id), ts_ns)
        current = periods.current()
        if current is not None and current.tokens and now_s >= current.rules.start_s + 2:
            rules = current.rules
            acts += self._polls.due(
                f"price:{rules.slug}",
                crypto_price_url(
                    self._urls,
                    periods.series,
                    start_s=rules.start_s,
                    end_s=rules.end_s,
                    lookback_s=rules.twap_lookback_s,
                ),
                ts_ns,
            )
            if current.strike.view.state == "PENDING":
                before_s = periods.series.start_of((rules.start_s - 1) * NS_PER_S)
                acts += self._fetch_event(periods.series.slug(before_s), ts_ns)
        for market in periods.ended.values():
            if now_s >= market.rules.end_s + 5:
                acts += self._fetch_event(market.rules.slug, ts_ns)
        if current is not None and self._open:
            for outcome in current.quiet_outcomes(ts_ns, int(self._timing.quiet_s * NS_PER_S)):
                token = current.tokens[0 if outcome == "CALL" else 1]
                fetches = self._polls.due(f"book:{token}", book_url(self._urls, token), ts_ns)
                if fetches:
                    current.asked(outcome)
                acts += fetches
        return acts

    def _fetch_event(self, slug: str, ts_ns: int) -> list[Fetch]:
        return self._polls.due(f"event:{slug}", event_url(self._urls, slug), ts_ns)

    def _event_again_s(self, periods: SeriesPeriods, start_s: int) -> float:
        """How soon to look at an event again: often while something decisive is missing."""
        timing, market = self._timing, periods.markets.get(start_s)
        if market is None:
            return timing.settle_s if start_s < periods.current_start else timing.discover_s
        if not market.tokens:
            return timing.discover_s
        if market.refusal is not None or (start_s == periods.current_start and market.strike.view.state == "PENDING"):
            return timing.prove_s
        return timing.refresh_s

    def _roll(self, ts_ns: int) -> list[Act]:
        if ts_ns < self._boundary_ns:
            return []
        acts: list[Act] = []
        for periods in self._series.values():
            ending = periods.current()
            acts += periods.roll(ts_ns)
            if ending is not None and not ending.current:
                self._polls.hurry(f"event:{ending.rules.slug}", ts_ns)
        self._boundary_ns = min(periods.boundary_ns() for periods in self._series.values()) if self._series else 2**63
        self._index()
        return acts

    def _keep_alive(self, ts_ns: int) -> list[Act]:
        if not self._open:
            return []
        acts: list[Act] = []
        if ts_ns >= self._ping_due_ns:
            self._ping_due_ns = ts_ns + int(self._timing.ping_s * NS_PER_S)
            acts.append(Send("PING"))
        if ts_ns - self._heard_ns >= self._timing.silence_s * NS_PER_S:
            acts.append(Reconnect("silent"))
        return acts

    def _subscribe(self, ts_ns: int) -> list[Act]:
        """Subscribe new tokens, leave those of dropped periods, ask for doubted books again."""
        markets = self._all_markets()
        wanted = set(tokens_of(markets))
        if not self._open:
            return []
        acts: list[Act] = []
        gone = self._subscribed - wanted
        if gone:
            self._subscribed -= gone
            self._left.extend(gone)
            acts.append(_operation("unsubscribe", sorted(gone)))
        fresh = [token for token in tokens_of(markets) if token not in self._subscribed]
        if fresh:
            self._subscribed.update(fresh)
            for market in markets:
                if market.tokens and market.tokens[0] in fresh:
                    market.resync.restart(ts_ns)
            acts.append(_operation("subscribe", fresh) if self._greeted else _greeting(fresh))
            self._greeted = True
        for periods in self._series.values():
            for market in periods.markets.values():
                acts += self._resync(market, ts_ns)
        return acts

    def _resync(self, market: PeriodMarket, ts_ns: int) -> list[Act]:
        if (
            market.pair is None
            or market.pair.state != "WAITING"
            or market.pair.on_probation
            or not market.resync.due(ts_ns)
        ):
            return []
        if market.current and market.resync.hopeless():
            return [Reconnect(market.pair.reason)]
        market.resync.asked(ts_ns)
        return [_operation("unsubscribe", list(market.tokens)), _operation("subscribe", list(market.tokens))]

    # Strike and settlement

    def _published(
        self, periods: SeriesPeriods, market: PeriodMarket, source: Source, price: float, ts_ns: int
    ) -> list[Act]:
        if not market.on_published(source, price):
            return []
        return self._strike_changed(periods, market, ts_ns)

    def _tick(
        self, periods: SeriesPeriods, market: PeriodMarket, kind: OracleKind, second: int, price: float, ts_ns: int
    ) -> list[Act]:
        strike_changed, audit_changed = market.on_oracle(kind, second, price)
        acts = self._strike_changed(periods, market, ts_ns) if strike_changed else []
        return acts + (self._settle(market, ts_ns) if audit_changed else [])

    def _strike_changed(self, periods: SeriesPeriods, market: PeriodMarket, ts_ns: int) -> list[Act]:
        acts = periods.publish_periods(ts_ns)
        if market.audit.own_final is not None or market.audit.official is not None:
            acts += self._settle(market, ts_ns)
        return acts

    def _replay_oracle(self, periods: SeriesPeriods, market: PeriodMarket, ts_ns: int) -> list[Act]:
        """What the oracle said before this period's rules were known."""
        acts: list[Act] = []
        start_s, end_s = market.rules.start_s, market.rules.end_s
        kinds: tuple[OracleKind, ...] = ("spot", "twap60")  # the prints first: they judge the tick
        for kind in kinds:
            kept = self._oracle.get((periods.series.asset, kind), {})
            for second in sorted(kept):
                if second == end_s or bears_on(second=second, start_s=start_s):
                    acts += self._tick(periods, market, kind, second, kept[second], ts_ns)
        return acts

    def _settle(self, market: PeriodMarket, ts_ns: int) -> list[Act]:
        return (
            [Publish(market.settlement_message(ts_ns))] if market.audit.final_price() or market.audit.official else []
        )

    # Small things

    def _all_markets(self) -> list[PeriodMarket]:
        return [market for periods in self._series.values() for market in periods.all_markets()]

    def _index(self) -> None:
        markets = self._all_markets()
        self._by_token = {token: market for market in markets for token in market.tokens}
        self._by_condition = {market.rules.condition_id: market for market in markets if market.tokens}

    def _periods_of(self, slug: str) -> tuple[SeriesPeriods, int] | None:
        try:
            series, start_s = parse_slug(slug)
        except ValueError:
            return None
        periods = self._series.get(series.name)
        return None if periods is None else (periods, start_s)

    def _longest_s(self) -> int:
        return max((periods.series.length_s for periods in self._series.values()), default=900) * 2

    def _one_reconnect(self, acts: list[Act]) -> list[Act]:
        """One `Reconnect` at most, and nothing more until the runner has closed and opened the socket."""
        if not any(isinstance(act, Reconnect) for act in acts):
            return acts
        last = next(act for act in acts if isinstance(act, Reconnect))
        was_open, self._open = self._open, False
        kept: list[Act] = [act for act in acts if not isinstance(act, Reconnect | Send)]
        return [*kept, last] if was_open else kept


def _same_rule(facts: EventFacts, following: PeriodMarket) -> bool:
    """Whether the final price of one period is by rule the strike of the next."""
    rules, after = facts.rules, following.rules
    return rules.refusal is None and (rules.settlement, rules.twap_lookback_s) == (
        after.settlement,
        after.twap_lookback_s,
    )


def _greeting(tokens: Iterable[str]) -> Send:
    return Send(
        json.dumps(
            {"assets_ids": list(tokens), "type": "market", "custom_feature_enabled": True}, separators=(",", ":")
        )
    )


def _operation(operation: str, tokens: Iterable[str]) -> Send:
    terms: dict[str, object] = {"operation": operation, "assets_ids": list(tokens)}
    if operation == "subscribe":
        terms["custom_feature_enabled"] = True
    return Send(json.dumps(terms, separators=(",", ":")))
