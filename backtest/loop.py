"""The second pass of a backtest: one compiled loop over a tape (ADR 0014).

    words that changed -> books and trades to the exchange -> requote -> what to send -> orders on their way

The quotes are `requote`'s, the reasons `all_reasons`', the orders `plan`'s, the fills `shared.exchange`'s: what runs
live. The loop keeps what depends on our own orders: shares in whole micro-units, our markouts, how long which reason
stood. It stops before an output is full and goes on where it stopped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.baselines import write_baseline
from backtest.records import ACTIONS, UNKNOWN
from backtest.tape import (
    ALLOW_ASK,
    ALLOW_BID,
    BOOK_STEP,
    FLOW_STEP,
    HAS_FLOW,
    HAS_REGIME,
    HAS_VENUE,
    IS_REFUSED,
    REQUOTE,
    TIMER_STEP,
    TRADE_STEP,
)
from services.analyzers import markout, mids
from services.executor.market_executor import REPORT_LAG_NS
from services.executor.plan import CANCEL, PLACE, plan
from services.quoter.action import ACTION_OF, RULES
from services.quoter.reasons import all_reasons, bits_of, is_pull
from services.quoter.records import LADDER_AT
from services.quoter.requote import quote_ladder
from shared.config import MAX_TIERS
from shared.exchange import (
    BUY,
    FILL,
    FREE,
    NO_BOOK,
    ORDERS,
    POST_ONLY,
    PRINT_LAG_NS,
    SELL,
    advance,
    cancel,
    change_level,
    end_change,
    place,
    take_trade,
)
from shared.kernel import Record, State, kernel
from shared.money import MICRO

DONE, OUTPUT_FULL, PAUSED = 0, 1, 2
ENGINE = -1
LAYERS = 16  # order ids are a running number times this, plus the layer
REMEMBERED = 4096  # orders whose time of placing is kept; far more than can stand
RULE_COUNT = len(RULES)
RETRY_NS = 500_000_000  # a key that the venue refused is tried again with the next quote set, live repeated this often

_ACTION_OF_RULE = np.array([ACTIONS.index(ACTION_OF[rule.label]) for rule in RULES])
# What keeps orders from standing whoever quotes: the period's rules, and a book that is not there or in doubt.
_BARS_EVERYBODY = bits_of(rule.label for rule in RULES if rule.label.startswith(("period_", "book_")))
_QUOTE_BOTH = ACTIONS.index("QUOTE_BOTH")
_PULL = ACTIONS.index("PULL_QUOTES")

LOOP = np.dtype(
    [
        ("step", "i8"),
        ("patch", "i8"),
        ("book", "i8"),
        ("change", "i8"),
        ("trade", "i8"),
        ("fills", "i8"),
        ("quotes", "i8"),
        ("orders", "i8"),  # placed over all periods: order ids never come twice
        ("now_ns", "i8"),
        ("bits", "i8"),
        ("bits_ns", "i8"),  # since when these reasons stand
        ("action", "i8"),
        ("call_units", "i8"),  # held
        ("put_units", "i8"),
        ("wanted", "i8"),  # rows wanted now
        ("bids", "i8"),
        ("asks", "i8"),
        ("quiet_until_ns", "i8"),  # no requote before, unless we filled
        ("retry_ns", "i8"),
        ("is_dirty", "i8"),  # something happened since the last plan
        ("has_filled", "i8"),  # since the last requote
        ("has_quoted", "i8"),
        ("is_over", "i8"),
        ("mid_micro", "i8"),
        ("tick_micro", "i8"),
        ("placed_ns", "i8", (REMEMBERED,)),
    ],
    align=True,
)
OPTIONS = np.dtype(
    [
        ("strategy", "i8"),  # ENGINE, or a number of `baselines.STRATEGIES`
        ("patience_ticks", "i8"),
        ("pulls_final", "i8"),
        ("keeps_quotes", "i8"),
        ("requote_ns", "i8"),  # at least so long between two requotes; 0: at every event
        ("buys_opposite", "i8"),  # 0: an ask without the CALL to sell is not placed
    ],
    align=True,
)


@kernel
def apply_words(
    image: NDArray[np.uint64], places: NDArray[np.uint16], words: NDArray[np.uint64], first: int, end: int
) -> None:
    """Bring the words of a step into the image."""
    for k in range(first, end):
        image[places[k]] = words[k]


@kernel
def is_finite(answer: NDArray[np.float64]) -> bool:
    """Whether the first `LADDER_AT` numbers, all but the ladders, are numbers. Four sums, as one waits on each term."""
    first = second = third = fourth = 0.0
    for k in range(0, LADDER_AT - 3, 4):
        first += answer[k]
        second += answer[k + 1]
        third += answer[k + 2]
        fourth += answer[k + 3]
    for k in range(LADDER_AT - LADDER_AT % 4, LADDER_AT):
        first += answer[k]
    return math.isfinite(first + second + third + fourth)


@kernel
def stand_until(loop: Record, period: Record, judged: Record, market: Record, quote: Record, now_ns: int) -> None:
    """Count the time since the last step under what has stood since then, within the period."""
    begin = max(loop["now_ns"], market["start_ns"])
    end = min(now_ns, market["end_ns"])
    is_first = loop["now_ns"] == 0  # what was before the first event was not observed
    loop["now_ns"] = now_ns
    if is_first:
        return
    if end <= begin:
        return
    passed_s = (end - begin) * 1e-9
    period["observed_s"] += passed_s
    period["action_s"][loop["action"]] += passed_s
    if loop["bids"] > 0:
        period["bid_s"] += passed_s
    if loop["asks"] > 0:
        period["ask_s"] += passed_s
    if loop["bids"] > 0 and loop["asks"] > 0:
        period["both_s"] += passed_s
        period["phase_s"][int(quote["phase"])] += passed_s
        period["regime_s"][judged["regime"]] += passed_s


@kernel
def count_reasons(loop: Record, period: Record, market: Record, now_ns: int) -> None:
    """Count the time under the reasons that have stood until now."""
    begin = max(loop["bits_ns"], market["start_ns"])
    end = min(now_ns, market["end_ns"])
    loop["bits_ns"] = now_ns
    if end <= begin:
        return
    for rank in range(RULE_COUNT):
        if loop["bits"] >> rank & 1:
            period["reason_s"][rank] += (end - begin) * 1e-9


@kernel
def take_reports(
    loop: Record,
    period: Record,
    judged: Record,
    market: Record,
    quote: Record,
    wanted: NDArray[Any],
    reports: NDArray[Any],
    count: int,
    fills: NDArray[Any],
    own: Record,
    books: Record,
    ages: mids.Config,
    place_of_period: int,
    now_ns: int,
) -> None:
    """Take what the venue reports: fills and rejections. What a fill comes to is worked out afterwards, exactly."""
    for k in range(count):
        line = reports[k]
        loop["is_dirty"] = 1
        kind = line["kind"]
        if kind in (POST_ONLY, NO_BOOK):
            period["rejects"] += 1
            for row in range(loop["wanted"]):
                if (
                    wanted[row]["price_micro"] == line["price_micro"]
                    and wanted[row]["side"] == line["side"]
                    and wanted[row]["outcome"] == line["outcome"]
                ):
                    wanted[row]["is_rejected"] = 1
        if kind != FILL:
            continue
        outcome, side, price, units = line["outcome"], line["side"], line["price_micro"], line["units"]
        call_price, call_side = price, side
        if outcome == 1:
            side, price = -side, MICRO - price
            loop["put_units"] += side * units
        else:
            loop["call_units"] += side * units
        loop["has_filled"] = 1
        period["fills"] += 1
        period["traded_units"] += units
        inventory = loop["call_units"] - loop["put_units"]
        period["max_inventory_units"] = max(period["max_inventory_units"], abs(inventory))
        mid, _ = mids.stood_before(books, ages, line["ts_ns"])
        row = fills[loop["fills"]]
        row["period"] = place_of_period
        row["order_id"] = line["order_id"] // LAYERS
        row["ts_ns"] = line["ts_ns"]
        row["known_ns"] = now_ns
        row["placed_ns"] = loop["placed_ns"][line["order_id"] // LAYERS % REMEMBERED]
        row["outcome"] = outcome
        row["side"] = side
        row["price_micro"] = price
        row["units"] = units
        row["is_maker"] = line["is_maker"]
        row["layer"] = line["order_id"] % LAYERS
        row["phase"] = int(quote["phase"])
        row["regime"] = judged["regime"]
        row["mid_micro"] = UNKNOWN if math.isnan(mid) else math.floor(mid * MICRO + 0.5)
        row["fair_value"] = quote["fair_value"] if quote["is_defined"] == 1.0 else math.nan
        row["ahead_units"] = line["front"]
        row["tau_s"] = (market["end_ns"] - line["ts_ns"]) * 1e-9
        loop["fills"] += 1
        markout.add_trade(own, line["ts_ns"], call_price / MICRO, call_side * units / MICRO, mid)


@kernel
def want(loop: Record, quote: Record, wanted: NDArray[Any], is_pulled: bool, buys_opposite: bool) -> bool:
    """Write the orders that the ladder asks for: bids buy CALL, asks sell what CALL is held and else buy PUT.

    Returns whether they are others than before.
    """
    tick = loop["tick_micro"]
    held = loop["call_units"]
    count = 0
    is_changed = False
    bids = asks = 0
    for is_ask in range(2):
        for layer in range(MAX_TIERS):
            shares = quote["ask_sizes"][layer] if is_ask else quote["bid_sizes"][layer]
            if is_pulled or shares <= 0.0:
                continue
            ticks = int(quote["ask_ticks"][layer] if is_ask else quote["bid_ticks"][layer])
            units = int(shares * MICRO + 0.5)
            outcome = 0
            if is_ask:
                if held >= units:
                    held -= units
                elif buys_opposite:
                    outcome = 1
                else:
                    continue
                asks += 1
            else:
                bids += 1
            row = wanted[count]
            side = -1 if is_ask else 1
            if (
                count >= loop["wanted"]
                or row["price_micro"] != ticks * tick
                or row["units"] != units
                or row["outcome"] != outcome
                or row["side"] != side
            ):
                is_changed = True
                row["price_micro"] = ticks * tick
                row["units"] = units
                row["outcome"] = outcome
                row["side"] = side
                row["layer"] = layer
            count += 1
    if count != loop["wanted"]:
        is_changed = True
    loop["wanted"] = count
    loop["bids"] = bids
    loop["asks"] = asks
    return is_changed


@kernel
def write_quote(loop: Record, quote: Record, quotes: NDArray[Any], place_of_period: int) -> None:
    """Keep the ladder that stands from now on."""
    row = quotes[loop["quotes"]]
    row["period"] = place_of_period
    row["ts_ns"] = loop["now_ns"]
    row["action"] = loop["action"]
    is_known = quote["is_defined"] == 1.0
    row["fair_value"] = quote["fair_value"] if is_known else math.nan
    row["reservation"] = quote["reservation"] if is_known else math.nan
    row["half_spread"] = quote["half_spreads"][0] if is_known else math.nan
    row["mid_micro"] = loop["mid_micro"]
    row["inventory_units"] = loop["call_units"] - loop["put_units"]
    row["tick_micro"] = loop["tick_micro"]
    for layer in range(MAX_TIERS):
        has_bid = loop["bids"] > 0 and quote["bid_sizes"][layer] > 0.0
        has_ask = loop["asks"] > 0 and quote["ask_sizes"][layer] > 0.0
        row["bid_ticks"][layer] = int(quote["bid_ticks"][layer]) if has_bid else 0
        row["ask_ticks"][layer] = int(quote["ask_ticks"][layer]) if has_ask else 0
        row["bid_shares"][layer] = quote["bid_sizes"][layer] if has_bid else 0.0
        row["ask_shares"][layer] = quote["ask_sizes"][layer] if has_ask else 0.0
    loop["quotes"] += 1


@kernel
def play(
    loops: State,
    options_state: State,
    periods: NDArray[Any],
    place_of_period: int,
    image: NDArray[np.uint64],
    judged_state: State,
    market_state: State,
    windows: State,
    venue: State,
    quote_state: State,
    answer: NDArray[np.float64],
    settings: State,
    exchange: State,
    reports: NDArray[Any],
    limits_state: State,
    works: State,
    wanted: NDArray[Any],
    plans: NDArray[Any],
    book_state: State,
    ages: mids.Config,
    own_state: State,
    own_config: markout.Config,
    order_ns: NDArray[np.int64],
    cancel_ns: NDArray[np.int64],
    steps: NDArray[Any],
    patch_at: NDArray[np.uint16],
    patch_word: NDArray[np.uint64],
    books: NDArray[Any],
    change_micro: NDArray[np.int32],
    change_units: NDArray[np.float64],
    trades: NDArray[Any],
    fills: NDArray[Any],
    quotes: NDArray[Any],
    until: int,
) -> int:
    """Play one tape up to step `until`; DONE at its end, PAUSED before it, OUTPUT_FULL to be called with more room."""
    loop, options, period, judged = loops[0], options_state[0], periods[place_of_period], judged_state[0]
    market, quote, limits, own, book_mids = (
        market_state[0],
        quote_state[0],
        limits_state[0],
        own_state[0],
        book_state[0],
    )
    config = settings[0]
    while loop["step"] < len(steps):
        if loop["step"] >= until:
            return PAUSED
        if loop["fills"] + 2 * ORDERS > len(fills) or loop["quotes"] + 1 > len(quotes):
            return OUTPUT_FULL
        step = steps[loop["step"]]
        now, kind, patch_end = step["now_ns"], step["kind"], step["patch_end"]
        loop["step"] += 1
        stand_until(loop, period, judged, market, quote, now)
        apply_words(image, patch_at, patch_word, loop["patch"], patch_end)
        loop["patch"] = patch_end

        # -- the venue
        n = 0
        if kind & TIMER_STEP:
            n = advance(exchange, now - REPORT_LAG_NS, reports)
            take_reports(
                loop, period, judged, market, quote, wanted, reports, n, fills, own,
                book_mids, ages, place_of_period, now,
            )  # fmt: skip
        if kind & BOOK_STEP:
            book = books[loop["book"]]
            loop["book"] += 1
            n = advance(exchange, book["at_ns"], reports)
            take_reports(
                loop, period, judged, market, quote, wanted, reports, n, fills, own,
                book_mids, ages, place_of_period, now,
            )  # fmt: skip
            for k in range(loop["change"], book["change_end"]):
                price = change_micro[k]
                change_level(exchange, BUY if price > 0 else SELL, abs(price), change_units[k])
            loop["change"] = book["change_end"]
            end_change(exchange, book["at_ns"])
            loop["tick_micro"] = book["tick_micro"]
            mid = half = math.nan
            loop["mid_micro"] = UNKNOWN
            venue_book = exchange[0]
            best_bid, best_ask = venue_book["bid_micro"][0], venue_book["ask_micro"][0]
            if venue_book["bids"] > 0 and venue_book["asks"] > 0 and best_bid < best_ask:
                mid = 0.5 * (best_bid + best_ask) / MICRO
                half = 0.5 * (best_ask - best_bid) / MICRO
                loop["mid_micro"] = (best_bid + best_ask) // 2
                if now < market["end_ns"]:
                    period["last_mid_micro"] = loop["mid_micro"]
            mids.update(book_mids, ages, book["at_ns"], mid, half)
        if kind & TRADE_STEP:
            trade = trades[loop["trade"]]
            loop["trade"] += 1
            if trade["ts_ns"] < market["end_ns"]:
                period["public_units"] += trade["units"]
                n = advance(exchange, trade["ts_ns"] - PRINT_LAG_NS, reports)
                take_reports(
                    loop, period, judged, market, quote, wanted, reports, n, fills, own,
                    book_mids, ages, place_of_period, now,
                )  # fmt: skip
                n = take_trade(exchange, trade["ts_ns"], trade["side"], trade["price_micro"], trade["units"], reports)
                take_reports(
                    loop, period, judged, market, quote, wanted, reports, n, fills, own,
                    book_mids, ages, place_of_period, now,
                )  # fmt: skip
        if own["tail"] < own["head"]:
            markout.resolve(own, own_config, book_mids, ages, now)
        if market["start_ns"] <= now < market["end_ns"]:
            period["events"] += 1
            if period["first_ns"] == 0:
                period["first_ns"] = now
            period["last_ns"] = now
        elif now - REPORT_LAG_NS >= market["end_ns"] and loop["is_over"] == 0:
            loop["is_over"] = 1
            loop["wanted"] = loop["bids"] = loop["asks"] = 0
            for slot in range(ORDERS):
                exchange[0]["stage"][slot] = FREE

        # -- the quoter
        if kind & FLOW_STEP:
            market["own_markout"], _ = markout.read(own, own_config)
        is_due = kind & REQUOTE != 0 and now >= loop["quiet_until_ns"]
        if is_due or (loop["has_filled"] == 1 and loop["has_quoted"] == 1 and loop["is_over"] == 0):
            loop["has_quoted"] = 1
            loop["quiet_until_ns"] = now + options["requote_ns"]
            if loop["has_filled"] == 1:
                loop["has_filled"] = 0
                market["call_shares"] = loop["call_units"] / MICRO
                market["put_shares"] = loop["put_units"] / MICRO
            permissions = judged["permissions"]
            has_venue = permissions & HAS_VENUE != 0
            is_pulled = False
            if options["strategy"] == ENGINE:
                quote_ladder(
                    market_state, windows, venue, settings, quote_state, now, has_venue, judged["lead_s"],
                    permissions & HAS_REGIME != 0, permissions & HAS_FLOW != 0, judged["missing"],
                    permissions & ALLOW_BID != 0, permissions & ALLOW_ASK != 0,
                )  # fmt: skip
                is_defined = quote["is_defined"] == 1.0 and permissions & IS_REFUSED == 0 and is_finite(answer)
                bits = all_reasons(
                    quote_state, settings, judged["bits"], is_defined, has_venue, options["pulls_final"] == 1
                )
            else:
                write_baseline(options["strategy"], market, config, quote, now)
                bits = 0
                is_barred = permissions & IS_REFUSED != 0 or judged["bits"] & _BARS_EVERYBODY != 0
                is_pulled = quote["is_defined"] == 0.0 or is_barred
            is_pulled = is_pulled or is_pull(bits)
            if bits != loop["bits"] or loop["bits_ns"] == 0:
                count_reasons(loop, period, market, now)
                loop["bits"] = bits
            action = _PULL if is_pulled else _QUOTE_BOTH
            if bits != 0:
                rank = 0
                while bits >> rank & 1 == 0:
                    rank += 1
                action = _ACTION_OF_RULE[rank]
            is_changed = want(loop, quote, wanted, is_pulled, options["buys_opposite"] == 1)
            if is_changed or now >= loop["retry_ns"]:
                loop["retry_ns"] = now + RETRY_NS
                loop["is_dirty"] = 1
                for row in range(loop["wanted"]):
                    wanted[row]["is_rejected"] = 0
            if options["keeps_quotes"] == 1 and (is_changed or action != loop["action"]):
                loop["action"] = action
                write_quote(loop, quote, quotes, place_of_period)
            loop["action"] = action

        # -- our orders
        if loop["is_dirty"] == 1 and loop["is_over"] == 0 and loop["tick_micro"] > 0:
            loop["is_dirty"] = 0
            limits["tick_micro"] = loop["tick_micro"]
            limits["call_least"] = limits["call_most"] = loop["call_units"]
            limits["put_most"] = loop["put_units"]
            limits["inventory_least"] = limits["inventory_most"] = loop["call_units"] - loop["put_units"]
            limits["patience_micro"] = options["patience_ticks"] * loop["tick_micro"]
            n = plan(exchange, works, wanted, loop["wanted"], limits_state, now < market["end_ns"], plans)
            for k in range(n):
                if plans[k]["kind"] == CANCEL:
                    wait = cancel_ns[plans[k]["order_id"] // LAYERS % len(cancel_ns)]
                    cancel(exchange, plans[k]["order_id"], now + wait)
                    period["cancels"] += 1
                elif plans[k]["kind"] == PLACE:
                    row = wanted[plans[k]["wanted"]]
                    number = loop["orders"]
                    loop["orders"] += 1
                    outcome, side, price = row["outcome"], row["side"], row["price_micro"]
                    if outcome == 1:
                        side, price = -side, MICRO - price
                    place(
                        exchange,
                        number * LAYERS + row["layer"],
                        outcome,
                        side,
                        price,
                        row["units"],
                        now + order_ns[number % len(order_ns)],
                        False,
                    )
                    loop["placed_ns"][number % REMEMBERED] = now
                    period["orders"] += 1
    count_reasons(loop, period, market, loop["now_ns"])
    return DONE
