"""Reading what a protocol decided."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, TypeVar

from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send, Status
from shared.codec import decode, encode
from shared.messages import SCHEMA_VERSION, Envelope, Message, OracleHistory, OraclePrice, SpotQuote, SpotTrade

AnyMessage = TypeVar("AnyMessage", bound=Message)
S = 1_000_000_000


def published(acts: Iterable[Act], kind: type[AnyMessage]) -> list[AnyMessage]:
    return [act.message for act in acts if isinstance(act, Publish) and isinstance(act.message, kind)]


def dropped(acts: Iterable[Act]) -> list[str]:
    return [act.reason for act in acts if isinstance(act, Drop)]


def sent(acts: Iterable[Act]) -> list[Any]:
    return [json.loads(act.text) for act in acts if isinstance(act, Send) and act.text != "PING"]


def statuses(acts: Iterable[Act]) -> list[tuple[str, str, str, str]]:
    return [(act.channel, act.subject, act.state, act.reason) for act in acts if isinstance(act, Status)]


def reconnects(acts: Iterable[Act]) -> list[str]:
    return [act.reason for act in acts if isinstance(act, Reconnect)]


def fetches(acts: Iterable[Act]) -> list[Fetch]:
    return [act for act in acts if isinstance(act, Fetch)]


def assert_sound(acts: Iterable[Act]) -> None:
    """Whatever came in: every act is one, every message survives the codec, no quote is one nobody could trade at."""
    for act in acts:
        assert isinstance(act, Publish | Send | Reconnect | Fetch | Drop | Status)
        if isinstance(act, Drop):
            assert act.reason.isidentifier()
            assert len(act.detail) <= 200
        if not isinstance(act, Publish):
            continue
        envelope = Envelope(SCHEMA_VERSION, "test", 1, 1, 1, act.message)
        assert decode(encode(envelope)) == envelope
        match act.message:
            case SpotQuote(bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size):
                assert 0.0 < bid <= ask < math.inf
                assert 0.0 < bid_size < math.inf
                assert 0.0 < ask_size < math.inf
            case SpotTrade(price=price, size=size):
                assert 0.0 < price < math.inf
                assert 0.0 < size < math.inf
            case OraclePrice(price=price):
                assert 0.0 < price < math.inf
            case OracleHistory(seconds=seconds, prices=prices):
                assert len(seconds) == len(prices) > 0
                assert list(seconds) == sorted(set(seconds))
                assert all(0.0 < price < math.inf for price in prices)
