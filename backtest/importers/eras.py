"""What a period was like when it was recorded: its settlement rule, fees and taker delay, by the venue's own history.

Source: `reference/polymarket.md` 1.5, 6.1 and 8. Recordings say none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from shared.market import NS_PER_S, Series, parse_slug, settles_by_candle
from shared.messages import Period, PeriodRole, SettlementRule


def _second(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


_TWAP_FROM_S = _second("2026-08-07")
_TWAP60_FROM_S = {300: _second("2026-08-14")}  # 5 minutes: a 30 s average for a week before
_FEES_FROM_S = {900: _second("2026-01-05"), 300: _second("2026-02-12")}
_FEES_OF_ALL_FROM_S = _second("2026-03-06")
_FEES_V2_FROM_S = _second("2026-03-30")
_TAKER_DELAYS_S = (
    (_second("2026-09-04T14:00"), 0.15),
    (_second("2026-08-17T11:00"), 0.05),
    (_second("2026-02-18"), 0.25),
    (0, 0.5),
)

COARSE_TICK, FINE_TICK = 0.01, 0.001
MIN_ORDER_SHARES = 5.0

REWARDS_NOTE = "Liquidity rewards are not credited: no recording says whether the market's pool was funded."
FIRST_FEES_NOTE = (
    "Until 2026-03-30 a taker paid p x 0.25 (p (1 - p))^2 a share of a token priced p. A period knows one curve for "
    "both tokens, so it has their mean, 0.125 (p (1 - p))^2: exact at 0.50. The maker's share of it is not known: "
    "rebates are 0."
)


class Fees(NamedTuple):
    """A taker pays `rate` x (p (1 - p)) ^ `exponent` dollars a share; `rebate_rate` of it goes to the maker."""

    rate: float
    exponent: float
    rebate_rate: float


class Token(NamedTuple):
    """Ids as the recording gives them; empty where it does not."""

    condition: str = ""
    call: str = ""
    put: str = ""


class Strike(NamedTuple):
    """A strike, the instant from which it could be known, and what proves it."""

    dollars: float
    recv_ns: int
    source: str


_NO_IDS = Token()


def settlement_of(series: Series, start_s: int) -> tuple[SettlementRule, int]:
    """Rule and averaging seconds (0: spot) of a period that starts then."""
    if start_s < _TWAP_FROM_S:
        return "spot", 0
    return "twap", 60 if start_s >= _TWAP60_FROM_S.get(series.length_s, _TWAP_FROM_S) else 30


def fees_of(series: Series, start_s: int) -> Fees:
    """The fee curve in force; before 2026-03-30 the mean of the two tokens' curves (see `FIRST_FEES_NOTE`)."""
    if start_s >= _FEES_V2_FROM_S:
        return Fees(0.07, 1.0, 0.2)
    is_charged = start_s >= min(_FEES_FROM_S.get(series.length_s, _FEES_OF_ALL_FROM_S), _FEES_OF_ALL_FROM_S)
    return Fees(0.125, 2.0, 0.0) if is_charged else Fees(0.0, 1.0, 0.0)


def fee_notes(slugs: Sequence[str]) -> tuple[str, ...]:
    """What a reader must know of the fees of these periods."""
    is_first = any(fees_of(*parse_slug(slug)).exponent == 2.0 for slug in slugs)
    return (FIRST_FEES_NOTE, REWARDS_NOTE) if is_first else (REWARDS_NOTE,)


def taker_delay_of(start_s: int) -> float:
    """Seconds that the venue held a taker's order back."""
    return next(delay_s for since_s, delay_s in _TAKER_DELAYS_S if start_s >= since_s)


def announcements(
    slug: str, *, seen_ns: int, ids: Token = _NO_IDS, strike: Strike | None = None, tick_size: float = COARSE_TICK
) -> list[Period]:
    """A period as it would have been announced: when first seen (`seen_ns`), as it draws near, and when proven.

    Raises ValueError for a slug that is none.
    """
    series, start_s = parse_slug(slug)
    settlement, lookback_s = settlement_of(series, start_s)
    fees = fees_of(series, start_s)
    start_ns, length_ns = start_s * NS_PER_S, series.length_s * NS_PER_S
    roles: tuple[tuple[int, PeriodRole], ...] = ((start_ns - length_ns, "next"), (start_ns, "current"))
    past = [role for since_ns, role in roles if since_ns <= seen_ns]
    first = Period(
        ts_event_ns=seen_ns,
        ts_recv_ns=seen_ns,
        market=series.name,
        role=past[-1] if past else "next2",
        slug=slug,
        condition_id=ids.condition,
        start_ns=start_ns,
        end_ns=start_ns + length_ns,
        settlement=settlement,
        twap_lookback_s=lookback_s,
        strike=None,
        strike_state="PENDING",
        strike_source="",
        call_token=ids.call or f"{slug}-CALL",
        put_token=ids.put or f"{slug}-PUT",
        tick_size=tick_size,
        min_size_shares=MIN_ORDER_SHARES,
        fee_rate=fees.rate,
        fee_exponent=fees.exponent,
        rebate_rate=fees.rebate_rate,
        taker_delay_s=taker_delay_of(start_s),
        rewards_min_shares=None,
        rewards_max_spread=None,
        version="v1",
        refusal="candle_market" if settles_by_candle(series) else None,
    )
    later = [
        msgspec.structs.replace(first, role=role, ts_event_ns=since_ns, ts_recv_ns=since_ns)
        for since_ns, role in roles
        if since_ns > seen_ns
    ]
    announced = [first, *later]
    if strike is not None:
        announced.append(proven(announced[-1], strike))
    return announced


def proven(period: Period, strike: Strike) -> Period:
    """The period with its strike, announced when that could be known: never before its start or its announcement."""
    recv_ns = max(strike.recv_ns, period.start_ns, period.ts_recv_ns)
    return msgspec.structs.replace(
        period,
        role="current",
        ts_event_ns=recv_ns,
        ts_recv_ns=recv_ns,
        strike=strike.dollars,
        strike_state="PROVEN",
        strike_source=strike.source,
    )
