"""The page shows what to do first, fits 110 columns, and is the same from the wire."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from services.hedger.hedge_inputs import HedgeBook, OtherPosition
from services.hedger.hedge_report import group_rows
from services.hedger.hedge_table import COLUMNS, page_of
from shared.requests import Answer, decode_answer, encode_answer
from tests.services.hedger.test_hedge import analyze, prices


def shown(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=COLUMNS, record=True)
    console.print(page_of(report))
    return console.export_text()


def test_the_page_marks_the_recommendation_and_cuts_nothing_off() -> None:
    others = (OtherPosition(market="btc-5m", usd_per_bp=-1.2),)
    report = analyze(12_120.0, 0.0, market=prices(sigma_per_sqrt_s=9e-5, others=others, market="btc-15m", fair_low=0.5))
    page = shown(report.to_dict())
    lines = page.splitlines()
    assert max(len(line) for line in lines) <= COLUMNS
    assert "…" not in page
    (marked,) = (line for line in lines if line.startswith("→"))
    assert report.recommendation.name == "close_now"
    assert "close now" in marked
    assert "(11930 unfilled)" in " ".join(page.split())
    assert next(line for line in lines if "certain" in line).rstrip().endswith("certain")
    for section in ("do", "parity", "netting", "why", "why not"):
        assert any(line.startswith(f"{section} ") for line in lines), section


def test_an_arbitrage_and_what_is_impossible_are_told_with_their_reasons() -> None:
    put = HedgeBook(outcome="PUT", asks=((0.35, 20.0),))
    page = shown(analyze(4.0, market=prices(put=put)).to_dict())
    assert "arbitrage  buy 20 CALL at 0.57 and as many PUT at 0.35, merge" in page
    assert "close now / opposite, keep both / opposite, merge / reduce (optimum) / close passively: 4 unpaired" in page


def test_the_hedgers_rows_give_the_same_page() -> None:
    report = analyze(100.0, 20.0, market=prices(sigma_per_sqrt_s=9e-5))
    answer = decode_answer(encode_answer(Answer(rows=report.rows())))
    assert shown(group_rows(answer.rows)) == shown(report.to_dict())
