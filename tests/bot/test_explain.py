"""Which quotes stood at a time, from a recording of the bus or from a replay's journal."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backtest.replay import journal_line
from bot.cli import ExplainRequest
from bot.explain import ExplainError, run_explain, tell
from shared.codec import encode
from shared.messages import SCHEMA_VERSION, Envelope, QuoteSet, Settlement, SpotQuote, topic_of
from shared.segments_io import SegmentWriter
from tests.builders import START_S, build

NS = 10**9
MS = 10**6


def quotes_at(at_s: float, *, market: str = "btc-15m", lease_s: float = 1.5, **fields: Any) -> QuoteSet:
    ts_ns = round((START_S + at_s) * NS)
    fields = {"trigger": f"set {at_s:g}", **fields}
    return build(QuoteSet, at_s=START_S + at_s, market=market, valid_until_ns=ts_ns + round(lease_s * NS), **fields)


def record(folder: Path, sets: Sequence[QuoteSet], *, version: int = SCHEMA_VERSION) -> Path:
    """As the recorder writes, among other messages."""
    with SegmentWriter(folder / "bus", "bus") as writer:
        for seq, message in enumerate((build(SpotQuote, at_s=START_S), *sets)):
            payload = encode(Envelope(version, "", 1, seq, message.ts_recv_ns, message))
            writer.write(message.ts_recv_ns, payload, source=topic_of(message))
    return folder


def journal(path: Path, sets: Sequence[QuoteSet | Settlement]) -> Path:
    path.write_bytes(b"".join(journal_line(each) for each in sets))
    return path


def asked(path: Path, at_s: float | None = None, *markets: str) -> ExplainRequest:
    return ExplainRequest(path, None if at_s is None else round((START_S + at_s) * NS), markets)


@pytest.mark.parametrize(
    ("at_s", "standing"), [(10.0, "set 10"), (10.9, "set 10"), (11.0, "set 11"), (12.4, "set 11"), (None, "set 20")]
)
@pytest.mark.parametrize("kind", ["recording", "journal"])
def test_the_last_set_published_by_then_is_told(tmp_path: Path, kind: str, at_s: float | None, standing: str) -> None:
    sets = [quotes_at(10.0), quotes_at(11.0), quotes_at(20.0)]
    path = record(tmp_path, sets) if kind == "recording" else journal(tmp_path / "journal.jsonl", sets)
    (text,) = tell(asked(path, at_s)).texts
    assert f"set off by {standing}\n" in text
    assert "this stood, for another" in text


def test_a_set_whose_lease_ran_out_is_said_to_stand_no_more(tmp_path: Path) -> None:
    path = record(tmp_path, [quotes_at(10.0), quotes_at(20.0)])
    (text,) = tell(asked(path, 13.0)).texts
    assert "nothing stood: the lease had run out 1.500 s before" in text
    assert "set off by set 10\n" in text


def test_every_market_is_told_or_the_chosen_one(tmp_path: Path) -> None:
    path = record(tmp_path, [quotes_at(10.0), quotes_at(10.1, market="eth-15m")])
    assert len(tell(asked(path)).texts) == 2
    (text,) = tell(asked(path, None, "eth-15m")).texts
    assert "eth-15m  btc-updown" in text
    with pytest.raises(ExplainError, match=r"--markets sol-15m: no quotes in .*; it has btc-15m, eth-15m"):
        tell(asked(path, None, "sol-15m"))


def test_a_market_that_was_not_quoted_then_is_remarked_beside_the_others(tmp_path: Path) -> None:
    told = tell(asked(record(tmp_path, [quotes_at(10.0), quotes_at(30.0, market="eth-15m")]), 10.5))
    assert len(told.texts) == 1
    (remark,) = told.remarks
    assert remark.startswith("eth-15m: quotes stood from ")


@pytest.mark.parametrize("at_s", [9.0, 22.0])
def test_a_time_outside_says_the_range(tmp_path: Path, at_s: float) -> None:
    path = record(tmp_path, [quotes_at(10.0), quotes_at(20.0)])
    with pytest.raises(
        ExplainError, match=r"outside of(.|\n)*from 2026-10-05T23:00:10.000Z to 2026-10-05T23:00:21.500Z"
    ):
        tell(asked(path, at_s))


def test_a_set_that_was_recorded_late_does_not_hide_a_later_one(tmp_path: Path) -> None:
    path = journal(tmp_path / "journal.jsonl", [quotes_at(11.0), quotes_at(10.0)])
    (text,) = tell(asked(path)).texts
    assert "set off by set 11\n" in text


def test_both_kinds_of_journal_are_told_the_same(tmp_path: Path) -> None:
    sets = [quotes_at(10.0, breakdown={"model_value": 0.5, "oracle_twap60": 1.0}, reasons=("no_leader",))]
    recorded = tell(asked(record(tmp_path / "rec", sets))).texts
    assert tell(asked(journal(tmp_path / "journal.jsonl", sets))).texts == recorded
    assert tell(asked(tmp_path)).texts == recorded  # the output folder of the replay
    assert tell(asked(tmp_path / "rec" / "bus")).texts == recorded
    (segment,) = (tmp_path / "rec" / "bus").iterdir()
    assert tell(asked(segment)).texts == recorded


def test_a_path_without_quotes_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ExplainError, match="not found"):
        tell(asked(tmp_path / "none"))
    with pytest.raises(ExplainError, match="the folder that --record wrote, or the output folder of --replay"):
        tell(asked(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ExplainError, match=r"give the folder that --record wrote, or a journal\.jsonl"):
        tell(asked(tmp_path / "notes.txt"))
    with pytest.raises(ExplainError, match="no quotes in it"):
        tell(asked(record(tmp_path / "rec", [])))
    with pytest.raises(ExplainError, match="no quotes in it"):
        tell(asked(journal(tmp_path / "journal.jsonl", [build(Settlement)])))


def test_what_cannot_be_read_is_counted_and_named(tmp_path: Path) -> None:
    path = journal(tmp_path / "journal.jsonl", [quotes_at(10.0)])
    whole = path.read_bytes()
    lacking = json.loads(whole)
    del lacking["breakdown"]
    path.write_bytes(msgspec.json.encode(lacking) + b"\n" + whole + whole[:-40])
    told = tell(asked(path))
    assert len(told.texts) == 1
    assert told.remarks == [
        "2 records could not be read; the first: line 1: no 'breakdown': replay the recording again with this version"
    ]


def test_a_recording_of_another_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExplainError, match="no quotes in it: 1 records could not be read; the first: version: schema"):
        tell(asked(record(tmp_path, [quotes_at(10.0)], version=SCHEMA_VERSION + 1)))


def test_the_answer_goes_to_one_file_and_remarks_to_the_other(tmp_path: Path) -> None:
    path = record(tmp_path, [quotes_at(10.0), quotes_at(30.0, market="eth-15m")])
    out, err = io.StringIO(), io.StringIO()
    assert run_explain(asked(path, 10.5), out=out, err=err) == 0
    assert out.getvalue().startswith("at 2026-10-05T23:00:10.500Z this stood")
    assert err.getvalue().startswith("mm_bot.py: eth-15m: quotes stood from")
    out, err = io.StringIO(), io.StringIO()
    assert run_explain(asked(path, 5.0), out=out, err=err) == 2
    assert out.getvalue() == ""
    assert err.getvalue().startswith("mm_bot.py: --at 2026-10-05T23:00:05.000Z is outside of")
