from __future__ import annotations

import msgspec

from services.hedger.core import Answer, HedgerCore
from shared.core import Delivery, Timer
from shared.messages import Period, Position
from tests.builders import NS, SLUG, START_S, build

DEEP = b"\x82\xa5query\xa9positions\xa1x" + b"\x91" * 200_000 + b"\xc0"


def ask(hedger: HedgerCore, **query: str) -> Answer:
    return msgspec.msgpack.decode(hedger.answer(msgspec.msgpack.encode(query)), type=Answer)


def hedger_with_a_period() -> HedgerCore:
    hedger = HedgerCore(["btc-15m", "eth-15m"])
    hedger.update(Delivery("Period.btc-15m.current", 1, 1, build(Period)))
    return hedger


def test_a_period_opens_flat_and_is_published_each_second() -> None:
    hedger = hedger_with_a_period()
    assert hedger.update(Timer(round((START_S + 300.5) * NS))) == []
    (position,) = hedger.update(Timer((START_S + 302) * NS))
    assert isinstance(position, Position)
    assert (position.slug, position.call_shares, position.put_shares) == (SLUG, 0.0, 0.0)
    assert position.ts_recv_ns == (START_S + 302) * NS


def test_a_query_is_answered_with_a_version() -> None:
    answer = ask(hedger_with_a_period(), query="position", market="btc-15m")
    assert (answer.version, answer.status, len(answer.positions)) == (1, "ok", 1)
    assert ask(hedger_with_a_period(), query="positions").positions == answer.positions


def test_a_market_without_a_period_yet_has_no_position() -> None:
    assert ask(hedger_with_a_period(), query="position", market="eth-15m").positions == ()


def test_an_unknown_market_is_named() -> None:
    answer = ask(hedger_with_a_period(), query="position", market="sol-15m")
    assert answer.status == "unknown_market"
    assert "btc-15m, eth-15m" in answer.detail


def test_a_malformed_query_is_an_answer_not_a_crash() -> None:
    hedger = hedger_with_a_period()
    for question in (b"", b"junk", msgspec.msgpack.encode({"query": "rob"}), msgspec.msgpack.encode([1]), DEEP):
        assert msgspec.msgpack.decode(hedger.answer(question), type=Answer).status == "malformed"
