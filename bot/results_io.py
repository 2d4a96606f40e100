"""What the ledger says of all periods: asked of the hedger, because the bus shows the running period alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shared.bus import BusTimeoutError, request
from shared.requests import Answer, PnlQuery, decode_answer, encode_question

MOST_PERIODS = 100
ASK_TIMEOUT_S = 1.0


class Results(NamedTuple):
    """The last periods of one market, at most `MOST_PERIODS`, the running one included.

    `total_usd` is what is certain, realized profit and paid rebates: the sum of `total_usd` of the hedger's client.
    `open_periods` still hold shares: they run, or wait for the venue's word.
    """

    periods: int
    fills: int
    total_usd: float
    open_periods: int


def results_of(answer: Answer) -> Results:
    """The sums over the rows of an answer to `PnlQuery`."""
    rows = answer.rows
    return Results(
        periods=len(rows),
        fills=sum(row["fills"] for row in rows),
        total_usd=sum(row["total_usd"] for row in rows),
        open_periods=sum(1 for row in rows if row["call_shares"] or row["put_shares"]),
    )


def ask_results(address: str, markets: Iterable[str]) -> dict[str, Results]:
    """The results by market; a market whose answer did not come is left out. Blocks for as long as that takes."""
    found: dict[str, Results] = {}
    for market in markets:
        question = encode_question(PnlQuery(market=market, periods=MOST_PERIODS))
        try:
            answer = decode_answer(request(address, question, timeout_s=ASK_TIMEOUT_S, tries=1))
        except (BusTimeoutError, ValueError):
            return found  # the others would wait in vain too
        if answer.status == "ok":
            found[market] = results_of(answer)
    return found
