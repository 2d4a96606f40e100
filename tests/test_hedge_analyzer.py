from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.bus import Endpoints, Responder
from shared.requests import Answer, HedgeQuery, decode_question, encode_answer
from tests.processes import ROOT
from tests.services.hedger.test_hedge import analyze

CALL_BOOK = "bid 0.55x30,0.54x60,0.52x100 ask 0.57x50"
PUT_BOOK = "bid 0.43x50 ask 0.45x30,0.46x60,0.48x100"
HELD = ("--call", "100@0.52", "--put", "0")
MARKET = ("--fair", "0.56", "--time-left", "600")


def run(*arguments: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MM_")}
    return subprocess.run(
        [python, "hedge_analyzer.py", *(str(each) for each in arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, contents: object) -> Path:
    path.write_text(json.dumps(contents))
    return path


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_the_table_and_the_json_say_the_same() -> None:
    books = ("--call-book", CALL_BOOK, "--put-book", PUT_BOOK)
    page = run(*HELD, *MARKET, *books)
    assert (page.returncode, page.stderr) == (0, "")
    assert "sell 85 CALL at ≥0.54" in page.stdout
    assert "the books mirror exactly: the same trade" in page.stdout
    assert max(len(line) for line in page.stdout.splitlines()) <= 110
    found = json.loads(run(*HELD, *MARKET, *books, "--json").stdout)
    assert found["recommendation"]["sentence"].startswith("Reduce (optimum): sell 85 CALL")
    assert found["recommendation"]["name"] == "reduce"
    indifferent = json.loads(run(*HELD, *MARKET, *books, "--gamma", "0", "--json").stdout)
    assert indifferent["recommendation"]["name"] == "hold"


def test_other_windows_the_range_and_the_volatility_are_taken(tmp_path: Path) -> None:
    ended = run(
        *HELD, *MARKET, "--call-book", CALL_BOOK, "--fair-range", "0.5,0.6", "--sigma", "0.00009",
        "--other", "btc-5m:delta=-1.2", "--other", "eth-5m:delta=1,correlation=0.5", "--json",
    )  # fmt: skip
    found = json.loads(ended.stdout)
    assert found["netting"]["others_usd_per_bp"] == pytest.approx(-0.7)
    assert found["recommendation"]["at_fair_low"]
    assert found["position"]["fair_high"] == 0.6


def test_files_hold_the_same_as_flags(tmp_path: Path) -> None:
    position = write(tmp_path / "position.json", {"call_shares": 100, "call_average_price": 0.52})
    mirrored = {"bids": [[0.43, 50]], "asks": [[0.45, 30], [0.46, 60], [0.48, 100]]}
    prices = write(
        tmp_path / "prices.json",
        {
            "call": {"bids": [[0.55, 30], [0.54, 60], [0.52, 100]], "asks": [[0.57, 50]], "timestamp": now_ms()},
            "put": mirrored,
            "fair_value": 0.56,
            "time_left_s": 600,
        },
    )
    by_file = run("--position", position, "--prices", prices, "--json", "--max-age", 600)
    by_flag = run(*HELD, *MARKET, "--call-book", CALL_BOOK, "--put-book", PUT_BOOK, "--json")
    assert by_file.stdout == by_flag.stdout
    assert run("--position", position, "--prices", prices, "--put-book", PUT_BOOK).returncode == 2


def test_the_tops_of_a_collectors_books_need_a_size_and_must_be_fresh(tmp_path: Path) -> None:
    write(tmp_path / "call.json", {"best_bid": 0.55, "best_ask": 0.57, "timestamp": now_ms() - 60_000})
    write(tmp_path / "put.json", {"best_bid": 0.43, "best_ask": 0.45, "timestamp": now_ms()})
    refused = run(*HELD, *MARKET, "--prices", tmp_path)
    assert (refused.returncode, "--top-size" in refused.stderr) == (1, True)
    ended = run(*HELD, *MARKET, "--prices", tmp_path, "--top-size", 50, "--json", "--max-age", 30)
    assert any(
        "the sizes in the PUT book are assumed" in each for each in json.loads(ended.stdout)["position"]["warnings"]
    )
    status = {each["name"]: each for each in json.loads(ended.stdout)["alternatives"]}
    assert "wait for a fresh one" in status["close_now"]["why_not"]
    assert status["buy_opposite_and_merge"]["unfilled_shares"] == 50.0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((*HELD, *MARKET, "--call-book", "bid 0.6x5 ask 0.5x5"), 1, "take a fresh snapshot"),
        ((*HELD, "--fair", "56", "--time-left", "600"), 1, "fair: 56 is not possible"),
        (("--call", "100", *MARKET), 1, "position.call_average_price: missing"),
        ((*HELD, *MARKET, "--gamma", "-1"), 1, "gamma_per_usd"),
        (("--position", "nowhere.json", *MARKET), 1, "nowhere.json: No such file"),
        ((*HELD, *MARKET, "--call-book", "0.6"), 2, "write it as: bid"),
        ((*HELD, *MARKET, "--other", "btc-5m"), 2, "write it as btc-5m:delta"),
        ((*HELD, *MARKET, "--fair-range", "0.5"), 2, "write it as 0.54,0.58"),
        ((*HELD, "--time-left", "600"), 2, "--fair is missing"),
        ((*HELD, "--fair", "0.5"), 2, "--time-left is missing"),
        (MARKET, 2, "no position"),
        (("--ask-hedger", *HELD), 2, "--call, --put would do nothing"),
        (("--ask-hedger", "--gamma", "0.02"), 2, "--gamma would do nothing"),
        (("--position", "x.json", *HELD, *MARKET), 2, "leave out --call"),
        (("--unknown",), 2, "unrecognized"),
    ],
)
def test_a_refusal_is_1_and_wrong_usage_2_with_the_remedy(arguments: tuple[str, ...], code: int, text: str) -> None:
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_help_has_examples_file_shapes_and_exit_codes() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for text in ("examples:", "files:", "exit codes:", "--top-size", "--ask-hedger", "best_bid"):
        assert text in ended.stdout


@contextmanager
def hedger(bus: str, answer: Answer) -> Iterator[list[str]]:
    """A hedger that gives this answer; yields the markets it was asked about."""
    asked: list[str] = []

    def reply(question: bytes) -> bytes:
        query = decode_question(question)
        assert isinstance(query, HedgeQuery)
        asked.append(query.market)
        return encode_answer(answer)

    stop = threading.Event()
    responder = Responder(Endpoints.of(bus).hedger)

    def serve() -> None:
        while not stop.wait(0.01):
            responder.serve(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()
        responder.close()


def test_the_running_hedger_is_asked_and_its_rows_are_the_page(tmp_path: Path) -> None:
    bus = f"ipc://{tmp_path / 'bus'}"
    with hedger(bus, Answer(rows=analyze().rows())) as asked:
        page = run("--ask-hedger", "--bus", bus, "--market", "eth-5m")
        found = json.loads(run("--ask-hedger", "--bus", bus, "--json").stdout)
    assert (page.returncode, asked) == (0, ["eth-5m", "btc-15m"])
    assert "sell 85 CALL at ≥0.54" in page.stdout
    assert found == json.loads(json.dumps(analyze().to_dict()))


def test_a_hedger_that_refuses_or_says_nothing_is_1(tmp_path: Path) -> None:
    bus = f"ipc://{tmp_path / 'bus'}"
    with hedger(bus, Answer(status="unavailable", detail="fair: there is no fair value now")):
        refused = run("--ask-hedger", "--bus", bus)
    assert (refused.returncode, "there is no fair value now" in refused.stderr) == (1, True)
    with hedger(bus, Answer()):
        assert "answered without an analysis" in run("--ask-hedger", "--bus", bus).stderr
    silent = run("--ask-hedger", "--bus", bus)
    assert (silent.returncode, "start mm_bot.py" in silent.stderr) == (1, True)


def test_another_python_finds_the_environment() -> None:
    bare = Path("/usr/bin/python3")
    if not bare.exists() or not (ROOT / ".venv").exists():
        pytest.skip("no other Python, or no .venv beside the sources")
    ended = run(*HELD, *MARKET, "--call-book", CALL_BOOK, python=str(bare))
    assert (ended.returncode, ended.stderr) == (0, "")
