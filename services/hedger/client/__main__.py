"""`python -m services.hedger.client positions|position|pnl|fills|hedge|book-fill|book-settlement ...`

Exit codes: 0 ok; 1 refused or unavailable; 2 the command is wrong; 3 no answer, which means unknown, not no.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console

from services.hedger.client.tables import table_of
from shared.bus import BusTimeoutError, close_everything, request
from shared.market import NS_PER_S, parse_slug
from shared.money import to_micro
from shared.requests import (
    Answer,
    BookFill,
    BookSettlement,
    FillsQuery,
    HedgeQuery,
    PnlQuery,
    PositionQuery,
    PositionsQuery,
    Question,
    decode_answer,
    encode_question,
)
from shared.service import load_settings
from shared.settings import ServiceSettings

PIPE_COLUMNS = 200  # where no terminal says how wide it is
BOT_FILE = "mm_bot.json"  # what a running bot leaves in its output folder
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_SILENT = 0, 1, 2, 3


class _Bot(msgspec.Struct, frozen=True):
    """Of the bot's file, where its bus is."""

    bus: str


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.hedger.client", description="Ask the hedger.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the answer as JSON")
    where = common.add_mutually_exclusive_group()
    where.add_argument("--out", metavar="DIR", type=Path, help="the output folder of a running bot, to find its bus")
    where.add_argument("--bus", metavar="ADDRESS", help="the bus; default: MM_BUS")
    common.add_argument("--timeout-s", type=float, default=5.0, help="how long to ask, three tries in all (default 5)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common])

    command("positions", "All open positions.")
    command("position", "The current period of one market.").add_argument("--market", required=True)
    pnl = command("pnl", "Profit and loss per period, newest first.")
    pnl.add_argument("--market", default="", help="one market; default: all")
    pnl.add_argument("--periods", type=int, default=20, help="how many (default 20)")
    fills = command("fills", "The last entries of the ledger, newest first.")
    fills.add_argument("--market", default="", help="one market; default: all")
    fills.add_argument("--count", type=int, default=50, help="how many (default 50)")
    command("hedge", "What to do with a position: close, hedge, merge or hold.").add_argument("--market", required=True)
    book = command("book-fill", "Book an execution made elsewhere. Amounts in dollars and shares, up to six decimals.")
    book.add_argument("--fill-id", required=True, help="unique forever; booking the same again is safe")
    book.add_argument("--order-id", help="the order it belongs to; default: the fill's id")
    book.add_argument("--order-shares", help="the whole size of that order; default: --shares")
    book.add_argument("--market", required=True, help="such as btc-15m")
    book.add_argument("--slug", required=True, help="the period, such as btc-updown-15m-1791241200")
    book.add_argument("--outcome", required=True, choices=("CALL", "PUT"))
    book.add_argument("--side", required=True, choices=("buy", "sell"))
    book.add_argument("--price", required=True, help="dollars a share")
    book.add_argument("--shares", required=True)
    book.add_argument("--fee", default="0", help="dollars paid (default 0)")
    book.add_argument("--rebate", default="0", help="dollars expected by the schedule (default 0)")
    book.add_argument("--taker", action="store_true", help="it took liquidity; default: a maker's fill")
    book.add_argument("--ts-ns", type=int, help="when, in nanoseconds since 1970; default: now")
    settle = command("book-settlement", "Book how a period ended, when the hedger missed the venue's word.")
    settle.add_argument("--slug", required=True, help="the period, such as btc-updown-15m-1791241200")
    settle.add_argument("--outcome", required=True, choices=("CALL", "PUT"), help="what paid a dollar")
    settle.add_argument("--entry-id", help="unique forever; default: made of the slug")
    return parser


def _bus(chosen: argparse.Namespace) -> str:
    """The address of the bus. Raises ValueError when no bot runs on the folder."""
    if chosen.out is None:
        return chosen.bus or load_settings(ServiceSettings).bus
    try:
        return msgspec.json.decode((chosen.out / BOT_FILE).read_bytes(), type=_Bot).bus
    except OSError as error:
        raise ValueError(f"no bot runs on {chosen.out}: {BOT_FILE}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{chosen.out / BOT_FILE} is no file of a bot: {error}") from error


def _question(chosen: argparse.Namespace) -> Question:
    """What was asked for. Raises ValueError or ArithmeticError for an amount or a slug that is none."""
    match chosen.command:
        case "positions":
            return PositionsQuery()
        case "position":
            return PositionQuery(market=chosen.market)
        case "pnl":
            return PnlQuery(market=chosen.market, periods=chosen.periods)
        case "fills":
            return FillsQuery(market=chosen.market, count=chosen.count)
        case "hedge":
            return HedgeQuery(market=chosen.market)
        case "book-settlement":
            series, start_s = parse_slug(chosen.slug)
            return BookSettlement(
                entry_id=chosen.entry_id or f"book-settlement:{chosen.slug}",
                market=series.name,
                slug=chosen.slug,
                outcome=chosen.outcome,
                ts_ns=(start_s + series.length_s) * NS_PER_S,
            )
        case _:
            return BookFill(
                fill_id=chosen.fill_id,
                order_id=chosen.order_id or chosen.fill_id,
                order_units=to_micro(chosen.order_shares or chosen.shares),
                market=chosen.market,
                slug=chosen.slug,
                outcome=chosen.outcome,
                side=chosen.side,
                price_micro=to_micro(chosen.price),
                units=to_micro(chosen.shares),
                fee_micro=to_micro(chosen.fee),
                rebate_micro=to_micro(chosen.rebate),
                is_maker=not chosen.taker,
                ts_ns=time.time_ns() if chosen.ts_ns is None else chosen.ts_ns,
            )


def _show(answer: Answer, chosen: argparse.Namespace) -> int:
    if chosen.json:
        print(msgspec.json.encode(answer).decode())
    elif answer.status != "ok":
        print(f"{answer.status}: {answer.detail}", file=sys.stderr)
    elif chosen.command.startswith("book-"):
        booked = chosen.fill_id if chosen.command == "book-fill" else f"{chosen.slug} as {chosen.outcome}"
        print(f"booked: {booked} ({f'ledger entry {answer.entry}' if answer.entry else 'it stood already'})")
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=PIPE_COLUMNS)
        console.print(table_of(answer, chosen.command))
    return EXIT_OK if answer.status == "ok" else EXIT_REFUSED


def main() -> int:
    """Ask, print, and say by the exit code what came of it."""
    parser = _parser()
    chosen = parser.parse_args()
    try:
        question = _question(chosen)
    except (ValueError, ArithmeticError) as error:
        parser.error(f"an amount is no number, or a slug no period: {error}")
    try:
        endpoints = load_settings(ServiceSettings).endpoints(_bus(chosen))
    except ValueError as error:
        parser.error(str(error))
    try:
        answer = decode_answer(request(endpoints.hedger, encode_question(question), timeout_s=chosen.timeout_s))
    except BusTimeoutError as error:
        print(f"unknown: {error}", file=sys.stderr)
        if isinstance(question, BookFill):
            again = shlex.join(sys.argv[1:] + ([] if chosen.ts_ns else ["--ts-ns", str(question.ts_ns)]))
            print(f"book it again, it counts once: python -m services.hedger.client {again}", file=sys.stderr)
        elif isinstance(question, BookSettlement):
            print("book it again, it counts once", file=sys.stderr)
        return EXIT_SILENT
    except ValueError as error:
        print(f"unknown: {error}", file=sys.stderr)
        return EXIT_SILENT
    finally:
        close_everything()
    return _show(answer, chosen)


if __name__ == "__main__":
    sys.exit(main())
