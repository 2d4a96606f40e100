from __future__ import annotations

import pytest

from shared.health import ERROR_S, SILENT_S, Health, Verdict
from shared.wiring import PART, PARTS

# What each part does when all is well; feeds are judged by their streams, the hedger by its loop and its ledger.
WORK = {
    "broker": "forwarded",
    "lead_lag": "published LeadLag",
    "regime": "published Regime",
    "volatility": "published Volatility",
    "flow": "published Flow",
    "quoter": "published QuoteSet",
    "executor": "received QuoteSet",
    "sink": "files_written",
    "recorder": "written_records",
}


def working(part: str) -> Health:
    health = Health(PART[part])
    health.note({WORK[part]: 1.0}, now_s=100.0)
    return health


def test_every_part_is_judged() -> None:
    feeds = {part.name for part in PARTS if part.room == "feeds"}
    assert set(WORK) | feeds | {"hedger"} == {part.name for part in PARTS}


@pytest.mark.parametrize("part", [part.name for part in PARTS])
def test_nobody_is_healthy_before_the_first_turn_of_its_loop(part: str) -> None:
    assert Health(PART[part]).judge(now_s=100.0) == Verdict(False, "not on the bus yet")


@pytest.mark.parametrize("part", WORK)
def test_a_part_that_did_its_work_just_now_is_healthy(part: str) -> None:
    verdict = working(part).judge(now_s=102.0)
    assert verdict == Verdict(True, f"{WORK[part]}: the last 2 s ago")


@pytest.mark.parametrize("part", WORK)
def test_a_part_that_only_lives_is_not_healthy(part: str) -> None:
    health = working(part)
    health.note({WORK[part]: 1.0}, now_s=100.0 + SILENT_S + 1.0)
    assert health.judge(now_s=100.0 + SILENT_S + 1.0) == Verdict(False, f"{WORK[part]}: the last 6 s ago")


@pytest.mark.parametrize("part", WORK)
def test_a_part_that_never_worked_says_so(part: str) -> None:
    health = Health(PART[part])
    health.note({"published Heartbeat": 3.0, WORK[part]: 0.0}, now_s=100.0)
    assert health.judge(now_s=100.0) == Verdict(False, f"{WORK[part]}: none yet")


@pytest.mark.parametrize("part", [*WORK, "hedger"])
def test_a_loop_that_stands_still_is_not_healthy(part: str) -> None:
    health = Health(PART[part])
    health.note({WORK.get(part, ""): 1.0}, now_s=100.0)
    assert health.judge(now_s=108.0) == Verdict(False, "the loop stands still for 8 s")


def test_an_analyzer_that_owns_no_market_is_healthy_without_a_word() -> None:
    health = Health(PART["volatility"])
    health.note({}, now_s=100.0)
    assert health.judge(now_s=100.0, owned_markets=0.0) == Verdict(True, "no market is its own")
    assert not health.judge(now_s=100.0, owned_markets=1.0).is_healthy
    assert not health.judge(now_s=100.0).is_healthy


def test_the_hedger_is_healthy_while_it_turns_and_its_ledger_takes_entries() -> None:
    health = Health(PART["hedger"])
    health.note({"ledger_errors": 0.0}, now_s=100.0)
    assert health.judge(now_s=100.0) == Verdict(True, "its loop turns")
    health.note({"ledger_errors": 1.0}, now_s=101.0)
    assert health.judge(now_s=102.0) == Verdict(False, "ledger_errors rose 1 s ago")
    health.note({"ledger_errors": 1.0}, now_s=102.0 + ERROR_S)
    assert health.judge(now_s=102.0 + ERROR_S).is_healthy


def test_a_recorder_that_loses_records_is_not_healthy() -> None:
    health = working("recorder")
    health.note({"written_records": 2.0, "dropped_records": 1.0}, now_s=101.0)
    assert health.judge(now_s=101.0) == Verdict(False, "dropped_records rose 0 s ago")


def test_a_feed_is_healthy_while_every_stream_is_live() -> None:
    health = Health(PART["bybit"])
    health.note({}, now_s=100.0)
    streams = {"SpotQuote BTC": True, "SpotQuote ETH": True}
    assert health.judge(now_s=100.0, streams=streams) == Verdict(True, "2 streams LIVE")
    streams["SpotQuote ETH"] = False
    assert health.judge(now_s=100.0, streams=streams) == Verdict(False, "not LIVE: SpotQuote ETH")
    assert health.judge(now_s=100.0, streams={}) == Verdict(False, "no stream yet")
