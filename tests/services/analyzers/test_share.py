"""Instances of one kind on a bus without sockets: a market's owner speaks for it, and goes on where another was."""

from __future__ import annotations

from itertools import count, pairwise

import pytest

from services.analyzers.core import KINDS, AnalyzerCore, Kind
from services.analyzers.share import Share
from shared.core import Delivery, Event, Gap, Timer, time_of
from shared.messages import AnyMessage, Checkpoint, Heartbeat, SpotQuote, topic_of
from tests.builders import NS, START_S, build
from tests.services.analyzers.fixtures import ns, synthetic_market

MARKETS = ("btc-15m", "btc-5m")
BEAT_NS = NS


@pytest.fixture(scope="module")
def market() -> list[Event]:
    return synthetic_market(seed=1, seconds=150)


class Bus:
    """Delivers to every instance what each publishes, and its heartbeat each second. The last values meet who joins."""

    def __init__(self, kind: Kind, market: list[Event]) -> None:
        self.kind = kind
        self.instances: dict[str, Share] = {}
        self.said: list[tuple[int, str, AnyMessage]] = []
        self._market = market
        self._place = 0
        self._last: dict[str, Delivery] = {}
        self._seq = count(1_000_000)
        self._beat_ns = 0
        self.now_ns = time_of(market[0])

    def start(self, name: str, *, markets: tuple[str, ...] = MARKETS) -> Share:
        share = Share(self.kind, markets, instance=name, started_ns=1)
        self.publish(name, self._beat(name, markets))
        for delivery in self._last.values():
            assert share.update(delivery) == ()
        self.instances[name] = share
        self._tell(name, Timer(self.now_ns))
        return share

    def stop(self, name: str) -> None:
        last_words = self.instances[name].last_words()
        self.kill(name)
        for message in (*last_words, self._beat(name, ())):
            self.publish(name, message)

    def kill(self, name: str) -> None:
        del self.instances[name]

    def publish(self, name: str, message: AnyMessage) -> None:
        self.said.append((self.now_ns, name, message))
        self._deliver(Delivery(topic_of(message), 1, next(self._seq), message))

    def run_until(self, end_s: float) -> None:
        while self._place < len(self._market) and time_of(self._market[self._place]) <= ns(end_s):
            event = self._market[self._place]
            self._place += 1
            self.now_ns = time_of(event)
            if isinstance(event, Delivery):
                self._deliver(event)
                continue
            for name in tuple(self.instances):
                self._tell(name, event)
            if self.now_ns - self._beat_ns >= BEAT_NS:
                self._beat_ns = self.now_ns
                for name in tuple(self.instances):
                    self.publish(name, self._beat(name, MARKETS))

    def signals(self, market: str, *, since_s: float = 0.0) -> list[tuple[str, AnyMessage]]:
        return [
            (name, each)
            for at_ns, name, each in self.said
            if not isinstance(each, Checkpoint | Heartbeat) and each.market == market and at_ns >= ns(since_s)  # type: ignore[union-attr]
        ]

    def owners(self) -> dict[str, list[str]]:
        return {each: [name for name, share in self.instances.items() if each in share.owned] for each in MARKETS}

    def _beat(self, name: str, markets: tuple[str, ...]) -> Heartbeat:
        at_s = self.now_ns / NS
        return build(Heartbeat, at_s=at_s, service=self.kind, instance=name, started_ns=1, markets=markets)

    def _deliver(self, delivery: Delivery) -> None:
        self._last[delivery.topic] = delivery
        for name in tuple(self.instances):
            self._tell(name, delivery)

    def _tell(self, name: str, event: Event) -> None:
        for message in self.instances[name].update(event):
            self.publish(name, message)


def test_alone_it_says_what_the_whole_core_says_from_the_first_moment(market: list[Event]) -> None:
    bus, core = Bus("volatility", market), AnalyzerCore("volatility", MARKETS)
    bus.start("a")
    expected = list(core.update(Timer(bus.now_ns)))
    bus.run_until(60.0)
    for event in market:
        if time_of(event) <= ns(60.0):
            expected += core.update(event)
    said = [each for _, _, each in bus.said if not isinstance(each, Heartbeat)]
    assert len(said) > 100
    assert said == expected


@pytest.mark.parametrize("kind", KINDS)
def test_each_market_has_one_voice_whoever_comes_and_goes(kind: Kind, market: list[Event]) -> None:
    bus = Bus(kind, market)
    bus.start("a")
    bus.run_until(100.0)
    for end_s, step in (
        (110.0, lambda: bus.start("b")),
        (120.0, lambda: bus.start("c")),
        (130.0, lambda: bus.stop("b")),
    ):
        step()
        assert all(len(names) == 1 for names in bus.owners().values())
        bus.run_until(end_s)
    for each in MARKETS:
        voices = [name for name, _ in bus.signals(each)]
        assert sum(a != b for a, b in pairwise(voices)) <= 3


def owner_of(bus: Bus, name: str) -> str:
    (owner,) = bus.owners()[name]
    return owner


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_market_goes_on_warm_when_its_owner_goes(kind: Kind, is_killed: bool, market: list[Event]) -> None:
    bus = Bus(kind, market)
    for name in ("a", "b", "c"):
        bus.start(name)
    bus.run_until(130.2)
    gone = owner_of(bus, "btc-15m")
    (bus.kill if is_killed else bus.stop)(gone)
    bus.said.clear()
    bus.run_until(145.0)
    after = bus.signals("btc-15m")
    assert len({name for name, _ in after} - {gone}) == 1
    assert all(signal.warm for _, signal in after)  # type: ignore[union-attr]
    waited_s = (after[0][1].ts_recv_ns - ns(130.2)) / NS
    assert waited_s <= (3.3 if is_killed else 0.3)


def test_who_joins_goes_on_from_where_the_owner_was_bit_for_bit(market: list[Event]) -> None:
    bus = Bus("volatility", market)
    bus.start("a")
    bus.run_until(127.7)  # between two checkpoints
    number = 0
    while bus.owners()["btc-15m"] == ["a"]:
        number += 1
        bus.start(f"b{number}")
    bus.run_until(145.0)
    unbroken = Bus("volatility", market)
    unbroken.start("a")
    unbroken.run_until(145.0)
    heard, expected = (
        each.instances[owner_of(each, "btc-15m")]._core._desks["btc-15m"].analyzer.record for each in (bus, unbroken)
    )
    assert heard.tobytes() == expected.tobytes()


def test_what_is_not_ours_is_not_analyzed(market: list[Event]) -> None:
    bus = Bus("regime", market)
    shares = [bus.start(name) for name in ("a", "b", "c")]
    bus.run_until(20.0)
    assert sorted(each for share in shares for each in share.owned) == sorted(MARKETS)
    assert sum(len(share._core.markets) for share in shares) == len(MARKETS)
    idle = next(share for share in shares if not share.owned)
    assert idle.update(Gap("SpotQuote.BTC.bybit", 1, bus.now_ns)) == ()


def test_a_heartbeat_from_long_ago_in_the_brokers_cache_is_nobodys(market: list[Event]) -> None:
    for age_s, is_alone in ((9.0, False), (11.0, True)):
        share = Share("regime", [f"m{number}-5m" for number in range(20)], instance="a", started_ns=1)
        old = build(
            Heartbeat,
            service="regime",
            instance="b",
            at_s=1000.0,
            markets=tuple(f"m{number}-5m" for number in range(20)),
        )
        share.update(Delivery(topic_of(old), 1, 1, old))
        share.update(Timer(int((1000.0 + age_s) * NS)))
        assert (len(share.owned) == 20) is is_alone


def test_what_was_said_before_a_market_came_to_us_is_known(market: list[Event]) -> None:
    bus = Bus("volatility", market)
    for name in ("a", "b", "c"):
        bus.start(name)
    bus.run_until(130.2)
    said_once = "Period.btc-15m.current"
    assert [topic for event in market if isinstance(event, Delivery) and (topic := event.topic) == said_once] == [
        said_once
    ]
    bus.kill(owner_of(bus, "btc-15m"))
    bus.said.clear()
    bus.run_until(140.0)
    _, first = bus.signals("btc-15m")[0]
    assert said_once in first.inputs  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["lead_lag", "flow"])
def test_what_was_received_between_a_checkpoint_and_its_heir_is_a_gap(kind: Kind, market: list[Event]) -> None:
    former = AnalyzerCore(kind, MARKETS)
    for event in market:
        former.update(event)
    checkpoint = former.checkpoints(ns(150.0))[0]
    for lost_s, has_gap in ((0.5, False), (3.0, True)):
        quote = build(SpotQuote, at_s=START_S + 150.0 + lost_s, venue="coinbase", bid=80_500.0, ask=80_501.0)
        delivery = Delivery(topic_of(quote), 2, 1, quote)
        heir, expected = AnalyzerCore(kind, ()), AnalyzerCore(kind, MARKETS[:1])
        heir.take("btc-15m", checkpoint, [delivery])
        expected.restore(checkpoint)
        if has_gap:
            expected.update(Gap(delivery.topic, 1, quote.ts_recv_ns))
        expected.update(delivery)
        records = [each._desks["btc-15m"].analyzer.record.tobytes() for each in (heir, expected)]
        assert records[0] == records[1]
