"""The command line of `hedge_analyzer.py`: close, hedge with the opposite outcome, merge, or hold?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from services.hedger.hedge import HedgeAnalyzer
from services.hedger.hedge_files_io import ask_hedger, now_ns, read_object, read_prices
from services.hedger.hedge_inputs import Fees, HedgeBook, HedgeError, HedgePosition, HedgePrices
from services.hedger.hedge_parse import (
    book_of,
    number_of,
    parse_book,
    parse_holding,
    parse_other,
    part_of,
    position_of,
)
from services.hedger.hedge_report import group_rows
from services.hedger.hedge_table import COLUMNS, page_of
from shared.messages import Outcome

ANALYZED, REFUSED = 0, 1  # wrong usage is argparse's 2
_WITH_THE_HEDGER = {"ask_hedger", "market", "bus", "json"}

_EPILOG = """\
examples:
  python3 hedge_analyzer.py --call 100@0.52 --put 0 --fair 0.56 --time-left 600 \\
      --call-book "bid 0.55x30,0.54x60,0.52x100 ask 0.57x50" --put-book "bid 0.43x50 ask 0.45x30,0.46x60,0.48x100"
  python3 hedge_analyzer.py --position position.json --prices prices.json --gamma 0.02 --json
  python3 hedge_analyzer.py --call 40@0.50 --prices ../my-collector --top-size 50 --fair 0.53 --time-left 300
  python3 hedge_analyzer.py --call 100@0.52 --call-book "bid 0.55x200 ask 0.57x50" --fair 0.56 --time-left 600 \\
      --market btc-15m --sigma 0.00009 --other btc-5m:delta=-1.2 --other eth-15m:delta=0.8,correlation=0.9
  python3 hedge_analyzer.py --ask-hedger --market btc-15m          the running bot's own position and books

files:
  --position  {"call_shares": 100, "call_average_price": 0.52, "put_shares": 0}; "cost_usd" instead of averages; or
              {"call": {"shares": 100, "average_price": 0.52}, "put": {...}}; more keys do no harm
  --prices    {"call": {"bids": [[0.55, 30], ...], "asks": [...], "timestamp": <ms>}, "put": {...}, "fair_value": 0.56,
              "fair_low": ..., "fair_high": ..., "time_left_s": 600, "sigma_per_sqrt_s": ..., "tick_size": 0.01};
              or a folder with call.json and put.json, each {"best_bid", "best_ask", "timestamp"}: sizes by --top-size

exit codes:
  0  analyzed
  1  refused, or no answer: the message names the field and the remedy
  2  wrong usage"""


def make_parser() -> argparse.ArgumentParser:
    """The parser; its help is complete."""
    parser = argparse.ArgumentParser(
        prog="hedge_analyzer.py",
        description="Close, hedge with the opposite outcome, merge, or hold? Every way is compared net of fees on the\n"
        "real depth; buying PUT at a is selling CALL at 1 - a, and the answer knows it. It places no order.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog=_EPILOG,
    )
    held = parser.add_argument_group("position")
    held.add_argument("--call", metavar="SHARES@PRICE", help="CALL held and its average price, such as 100@0.52")
    held.add_argument("--put", metavar="SHARES@PRICE", help="PUT held and its average price; 0: none")
    held.add_argument("--cost", metavar="USD", type=float, help="what everything cost, instead of average prices")
    held.add_argument("--position", metavar="FILE", type=Path, help="the position from a JSON file (below)")
    market = parser.add_argument_group("market")
    market.add_argument("--call-book", metavar="TEXT", help='"bid 0.55x30,0.54x60 ask 0.57x50": prices x shares')
    market.add_argument("--put-book", metavar="TEXT", help="the same of PUT")
    market.add_argument("--prices", metavar="PATH", type=Path, help="books and more from a JSON file or folder (below)")
    market.add_argument("--top-size", metavar="SHARES", type=float, help="shares to count on where a file has no sizes")
    market.add_argument("--fair", metavar="P", type=float, help="our probability that CALL pays")
    market.add_argument("--fair-range", metavar="LOW,HIGH", help="its bounds: is the advice the same there?")
    market.add_argument("--time-left", metavar="S", type=float, help="seconds until expiry")
    market.add_argument("--tick", metavar="USD", type=float, help="tick size (default: 0.01)")
    market.add_argument("--min-size", metavar="SHARES", type=float, default=5.0, help="smallest order (default: 5)")
    market.add_argument("--fee-rate", metavar="R", type=float, default=0.07, help="taker fee R (p (1-p))^E (0.07)")
    market.add_argument("--fee-exponent", metavar="E", type=float, default=1.0, help="its exponent (1)")
    market.add_argument("--makers-pay", action="store_true", help="makers pay the fee too (default: takers only)")
    market.add_argument("--rebate-rate", metavar="R", type=float, default=0.2, help="of it back to makers (0.2)")
    market.add_argument("--max-age", metavar="S", type=float, default=5.0, help="oldest book to trade on (5)")
    risk = parser.add_argument_group("risk")
    risk.add_argument(
        "--gamma", metavar="G", type=float, default=0.01, help="risk aversion per $, 0.003 to 0.02; 0: none (0.01)"
    )
    risk.add_argument("--sigma", metavar="S", type=float, help="volatility of the log price per square-root second")
    risk.add_argument(
        "--averaging", metavar="S", type=float, default=60.0, help="seconds of the settlement's average; 0: spot (60)"
    )
    risk.add_argument(
        "--other",
        metavar="MARKET:delta=D",
        action="append",
        default=[],
        help="a position in another window: $ it gains per basis point of its asset; ,correlation=C; repeatable",
    )
    risk.add_argument("--correlation", metavar="C", type=float, default=0.85, help="between different assets (0.85)")
    risk.add_argument("--round-trip-bps", metavar="B", type=float, default=4.0, help="cost of a perpetual hedge (4)")
    running = parser.add_argument_group("running bot")
    running.add_argument("--ask-hedger", action="store_true", help="ask the running hedger about --market instead")
    running.add_argument("--market", metavar="SERIES", default="btc-15m", help="series (default: btc-15m)")
    running.add_argument("--bus", metavar="ADDRESS", help="its bus (default: MM_BUS, or the one of this machine)")
    parser.add_argument("--json", action="store_true", help="JSON instead of the page")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run what these arguments ask for; returns the exit code."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    try:
        report = _asked(parser, given) if given.ask_hedger else _analyzed(parser, given)
    except HedgeError as error:
        print(f"hedge_analyzer.py: {error}", file=sys.stderr)
        return REFUSED
    except ValueError as error:  # a text on the command line that is none
        parser.error(str(error))
    if given.json:
        print(json.dumps(report, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else COLUMNS, highlight=False)
        console.print(page_of(report))
    return ANALYZED


def _asked(parser: argparse.ArgumentParser, given: argparse.Namespace) -> dict[str, Any]:
    idle = [
        f"--{name.replace('_', '-')}"
        for name, found in vars(given).items()
        if name not in _WITH_THE_HEDGER and found != parser.get_default(name)
    ]
    if idle:
        parser.error(f"--ask-hedger takes all else from the bot: {', '.join(idle)} would do nothing")
    from shared.service import load_settings, open_bus  # imported late: most questions need no bus
    from shared.settings import ServiceSettings

    endpoints = open_bus(load_settings(ServiceSettings), given.bus or "")
    answer = ask_hedger(address=endpoints.hedger, market=given.market)
    if answer.status != "ok":
        raise HedgeError(f"hedger ({answer.status})", answer.detail or "refused", "see its log")
    report = group_rows(answer.rows)
    if report["position"] is None or report["recommendation"] is None or report["parity"] is None:
        raise HedgeError("hedger", "answered without an analysis", "ask a hedger of this version")
    return report


def _analyzed(parser: argparse.ArgumentParser, given: argparse.Namespace) -> dict[str, Any]:
    position = _position(parser, given)
    found = read_prices(given.prices) if given.prices else {}
    low, high = _fair_range(given, found)
    fair = _first(given.fair, found, "fair_value", "fair")
    time_left_s = _first(given.time_left, found, "time_left_s", "time_to_expiry_seconds")
    if fair is None:
        parser.error("--fair is missing: the probability that CALL pays decides what holding is worth")
    if time_left_s is None:
        parser.error("--time-left is missing: seconds until expiry")
    tick_size = _first(given.tick, found, "tick_size")
    analyzer = HedgeAnalyzer(
        gamma_per_usd=given.gamma,
        fees=Fees(
            rate=given.fee_rate,
            exponent=given.fee_exponent,
            is_taker_only=not given.makers_pay,
            rebate_rate=given.rebate_rate,
        ),
        max_age_s=given.max_age,
        round_trip_bps=given.round_trip_bps,
        correlation=given.correlation,
    )
    prices = HedgePrices(
        fair=fair,
        fair_low=low,
        fair_high=high,
        time_left_s=time_left_s,
        call=_book(parser, given, found, "CALL"),
        put=_book(parser, given, found, "PUT"),
        sigma_per_sqrt_s=_first(given.sigma, found, "sigma_per_sqrt_s"),
        averaging_s=given.averaging,
        tick_size=0.01 if tick_size is None else tick_size,
        min_size_shares=given.min_size,
        market=given.market,
        others=tuple(parse_other(text) for text in given.other),
    )
    return analyzer.analyze(position, prices).to_dict()


def _position(parser: argparse.ArgumentParser, given: argparse.Namespace) -> HedgePosition:
    if given.position is not None:
        if given.call is not None or given.put is not None or given.cost is not None:
            parser.error("--position FILE says what is held: leave out --call, --put and --cost")
        return position_of(read_object(given.position), name=str(given.position))
    if given.call is None and given.put is None:
        parser.error("no position: give --call 100@0.52, --put, --position FILE, or --ask-hedger")
    call, call_average = parse_holding(given.call or "0")
    put, put_average = parse_holding(given.put or "0")
    return HedgePosition(
        call_shares=call,
        put_shares=put,
        call_average_price=call_average,
        put_average_price=put_average,
        cost_usd=given.cost,
    )


def _book(
    parser: argparse.ArgumentParser, given: argparse.Namespace, found: Mapping[str, Any], outcome: Outcome
) -> HedgeBook | None:
    name = outcome.lower()
    text = given.call_book if outcome == "CALL" else given.put_book
    part = part_of(found, name)
    if text is not None:
        if part is not None:
            parser.error(f"--{name}-book and {given.prices} both have the {outcome} book: give one")
        return parse_book(text, outcome)
    if part is None:
        return None
    source = f"{given.prices}: {name}"
    return book_of(part, outcome, name=source, now_ns=now_ns(), top_size_shares=given.top_size)


def _fair_range(given: argparse.Namespace, found: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if given.fair_range is None:
        return number_of(found, "fair_low", name="prices"), number_of(found, "fair_high", name="prices")
    low, _, high = given.fair_range.partition(",")
    try:
        return float(low), float(high)
    except ValueError:
        raise ValueError(f"--fair-range {given.fair_range!r}: write it as 0.54,0.58") from None


def _first(flag: float | None, found: Mapping[str, Any], *keys: str) -> float | None:
    """The flag when it is given, else the first key that the prices file has."""
    numbers = [flag, *(number_of(found, key, name="prices") for key in keys)]
    return next((each for each in numbers if each is not None), None)
