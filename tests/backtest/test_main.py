from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest import main as door
from backtest.cli import DONE, INTERRUPTED, NO_DATA, SEARCH_FAILED, SEARCH_PERIODS, WRONG, parse
from backtest.engine import run
from backtest.events import Events
from backtest.events_io import is_events_folder, read_events, write_events
from backtest.main import main
from backtest.optimizer import search as searching
from backtest.optimizer.search import Found, Plan
from backtest.parts import Part, Played, first_pass
from backtest.report import Study
from backtest.result import BacktestResult
from backtest.sample import INVENTED
from backtest.statistics import Fold
from shared.config import MMConfig, load_config
from tests.backtest.small_sample import MARKET, SAMPLE, first_events, part_folders, sample_folder, tapes_folder

QUICK = ("--no-progress", "--workers", "1")
ONE_QUEUE = ("--queue", "probabilistic")
PLAIN = (*ONE_QUEUE, "--no-ablation")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for results in which the first pass under the default configuration is done."""
    shutil.copytree(tapes_folder(), tmp_path / "out" / "tapes")
    return tmp_path / "out"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without page and pictures: the numbers are written as ever."""

    def numbers_alone(study: Study, folder: Path) -> Path:
        (folder / "report.json").write_text(json.dumps(door.numbers_of(study), allow_nan=False))
        return folder / "index.html"

    monkeypatch.setattr(door, "write_report", numbers_alone)


def run_door(capsys: pytest.CaptureFixture[str], out: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr without its line breaks."""
    code = main(parse([*arguments, "--out", str(out), *QUICK]))
    said = capsys.readouterr()
    return code, said.out, " ".join(said.err.split())


def test_a_plain_run_writes_page_numbers_pictures_and_tables(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    code, said, errors = run_door(capsys, out, "--data", str(part_folders()[0]))
    assert (code, errors.startswith("report: ")) == (DONE, True)
    assert "Backtest of default" in said
    assert (out / "index.html").stat().st_size > 10_000
    numbers = json.loads((out / "report.json").read_text())
    assert {row["queue"] for row in numbers["bracket"]} == {"pessimistic", "probabilistic", "optimistic"}
    assert "buying the opposite outcome" in {row["name"] for row in numbers["ablation"]}
    assert len(numbers["ablation"]) > 8
    assert {row["name"] for row in numbers["baselines"]} == {"fixed_spread", "avellaneda_stoikov", "bands"}
    assert numbers["caveats"][0] == INVENTED
    assert numbers["caveats"][1].startswith("1 periods are few")
    fills, quotes, periods = (pd.read_parquet(out / f"{name}.parquet") for name in ("fills", "quotes", "periods"))
    assert len(fills) == numbers["headline"]["fills"]
    assert len(quotes) > 100
    assert periods["pnl_usd"].sum() == pytest.approx(numbers["headline"]["total_usd"])


@pytest.mark.usefixtures("bare")
def test_json_alone_is_on_stdout_and_says_what_the_report_says(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--json", *PLAIN)
    assert code == DONE
    numbers = json.loads(said)
    assert numbers == json.loads((out / "report.json").read_text())
    assert len(numbers["periods"]) == 2
    assert numbers["ablation"] == []
    assert numbers["absent"]["ablation"] == "Left out by --no-ablation."


@pytest.mark.usefixtures("bare")
def test_a_comparison_is_one_configuration_less_the_other(
    capsys: pytest.CaptureFixture[str], out: Path, tmp_path: Path
) -> None:
    (tmp_path / "ours.toml").write_text("")
    (tmp_path / "theirs.toml").write_text("[techniques]\ntiers = false\n")
    files = (str(tmp_path / "ours.toml"), str(tmp_path / "theirs.toml"))
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--compare", *files, "--json", *ONE_QUEUE)
    assert code == DONE
    numbers = json.loads(said)
    told = numbers["comparison"]
    assert (told["a"], told["b"]) == ("ours", "theirs")
    assert [each["name"] for each in told["settings"]] == ["techniques.tiers"]
    assert told["a_usd"]["mean"] == pytest.approx(numbers["headline"]["pnl_usd"]["mean"])
    assert told["difference_usd"]["mean"] == pytest.approx(told["a_usd"]["mean"] - told["b_usd"]["mean"])
    assert told["difference_usd"]["mean"] != 0.0


@pytest.mark.usefixtures("bare")
def test_a_search_is_reported_with_its_folds_and_its_answer(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def found_nothing(plan: Plan, factory: Any, *, storage: str, **_: Any) -> Found:
        plans.append(plan)
        assert storage.startswith("sqlite:///")
        places = np.arange(len(plan.start_ns))
        default_usd = factory()(load_config(), places).pnl_usd
        fold = Fold(places[:1], places[1:])
        choice = load_config(overrides=["base_spread=0.03"])
        tested = searching.Tested(fold, 10, choice, 1.0, default_usd[:1] + 3.0, default_usd[1:] + 2.0, default_usd[1:])
        return Found(plan, default_usd, (tested,), (), is_complete=True, is_interrupted=False)

    monkeypatch.setattr(door, "search", found_nothing)
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--optimize", "--trials", "10", "--json")
    numbers = json.loads(said)
    assert code == DONE
    assert plans[0].trials == 10
    assert (np.diff(plans[0].start_ns) > 0).all()
    (fold,) = numbers["optimizer"]["folds"]
    judged = next(row for row in numbers["bracket"] if row["queue"] == "probabilistic")
    assert fold["tested_usd"]["mean"] == pytest.approx(fold["default_usd"]["mean"] + 2.0)
    default = (fold["trained_usd"]["mean"] - 3.0 + fold["default_usd"]["mean"]) / 2
    assert default == pytest.approx(judged["pnl_usd"]["mean"])
    verdict = json.loads((out / "optimizer.json").read_text())
    assert verdict["recommended"] is None
    assert numbers["optimizer"]["answer"] == verdict["sentence"]
    assert not (out / "recommended.json").exists()


def test_too_few_periods_for_a_search_are_refused(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    code, _, errors = run_door(capsys, out, "--data", str(sample_folder()), "--optimize", *ONE_QUEUE)
    assert (code, "2 periods are too few for 4 folds" in errors) == (SEARCH_FAILED, True)


def test_too_few_simulated_periods_for_a_search_are_refused_before_they_are_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, errors = run_door(capsys, tmp_path / "new", "--optimize", "--periods", "8")
    assert (code, "--periods 8: too few for 4 folds; give 116," in errors) == (SEARCH_FAILED, True)
    code, _, errors = run_door(capsys, tmp_path / "new", "--optimize", "--periods", "115")
    assert (code, "give 116," in errors) == (SEARCH_FAILED, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("series", ["btc-90s", "btc-2m", "btc-5m", "btc-15m", "btc-1h", "btc-4h"])
def test_the_usual_number_of_simulated_periods_is_enough_for_a_search_of_any_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, series: str
) -> None:
    begun: list[int] = []

    def generated(settings: Any, **_: Any) -> Iterator[Events]:
        begun.append(settings.periods)
        yield from ()

    monkeypatch.setattr(door, "generate", generated)
    asked = ("--optimize", "--series", series, "--out", str(tmp_path), *QUICK)
    assert main(parse(asked)) == INTERRUPTED  # nothing was made, so nothing is played
    assert begun == [SEARCH_PERIODS]


def test_a_storage_that_cannot_be_reached_is_a_search_that_failed(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Found:
        raise ConnectionRefusedError("nobody answers at db")

    monkeypatch.setattr(door, "search", unreachable)
    code, _, errors = run_door(capsys, out, "--data", str(sample_folder()), "--optimize", *ONE_QUEUE)
    assert (code, "nobody answers at db" in errors) == (SEARCH_FAILED, True)


def test_missing_data_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said, errors = run_door(capsys, tmp_path / "out", "--data", str(tmp_path / "nowhere"))
    assert (code, said) == (NO_DATA, "")
    assert "nowhere: not found" in errors


def test_data_without_a_usable_period_is_no_data(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    place = str(part_folders()[0])
    code, _, errors = run_door(capsys, out, "--data", place, "--markets", "eth-5m", *PLAIN)
    assert (code, "no period was seen" in errors) == (NO_DATA, True)


def test_data_without_any_period_is_no_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    events = first_events()
    bare = events._replace(
        periods=(), labels=(), books=events.books[:0], levels=events.levels[:0], trades=events.trades[:0]
    )
    write_events(bare, tmp_path / "bare")
    code, _, errors = run_door(capsys, tmp_path / "out", "--data", str(tmp_path / "bare"), *PLAIN)
    assert (code, "no period was seen" in errors) == (NO_DATA, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--config", "{bad}"), "bad.toml is not valid TOML"),
        (("--config", "{none}"), "none.toml"),
        (("--compare", "{bad}", "{bad}"), "bad.toml is not valid TOML"),
        (("--set", "bas_spread=1"), "base_spread"),
        (("--sample", "informed=1", "--periods", "1"), "--sample informed"),
        (("--sample", "depth"), "--sample 'depth' must be written KEY=VALUE"),
        (("--series", "pepe-5m"), "--sample series"),
        (("--optimize", "--space", "{none}"), "none.toml"),
    ],
)
def test_a_wrong_configuration_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: Sequence[str], named: str
) -> None:
    (tmp_path / "bad.toml").write_text("base_spread =")
    files = {"bad": tmp_path / "bad.toml", "none": tmp_path / "none.toml"}
    code, said, errors = run_door(capsys, tmp_path / "out", *(each.format(**files) for each in arguments))
    assert (code, said) == (WRONG, "")
    assert named in errors
    assert not (tmp_path / "out").exists()


def test_a_sample_is_written_kept_and_made_again_when_it_is_too_short_or_half(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, knobs = tmp_path / "out", ("--generate-sample", "--series", MARKET, *SAMPLE)
    made: list[int] = []

    def generated(settings: Any, **_: Any) -> Iterator[Events]:
        made.append(settings.periods)
        whole = first_events()
        for chunk in range(settings.chunks):
            yield whole._replace(labels=whole.labels * len(settings.starts(chunk)))

    written: list[str] = []

    def writing(events: Events, place: Path, *, replace: bool) -> None:
        written.append(place.name[-4:])
        write_events(events, place, replace=replace)

    monkeypatch.setattr(door, "generate", generated)
    monkeypatch.setattr(door, "write_events", writing)
    chunked = (*knobs, "--sample", "chunk_periods=2")
    for periods, expected in ((1, [1]), (1, [1]), (2, [1, 2]), (2, [1, 2]), (3, [1, 2, 3])):
        assert run_door(capsys, out, *chunked, "--periods", str(periods))[0] == DONE
        assert made == expected
    first, second = sorted((out / "sample").iterdir())
    assert (len(read_events(first).labels), len(read_events(second).labels)) == (2, 1)
    (second / "about.json").unlink()  # as if its writer was interrupted
    assert run_door(capsys, out, *chunked, "--periods", "3")[0] == DONE
    assert made == [1, 2, 3, 3]
    assert is_events_folder(second)
    assert written == ["0000", "0000", "0001", "0001"]  # what is whole is not written again


def interrupted_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Ctrl-C comes in that call of `run`."""
    calls = iter(range(1, 1000))

    def running(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return run(*arguments, **options)

    monkeypatch.setattr(door, "run", running)


@pytest.mark.usefixtures("bare")
def test_ctrl_c_after_the_first_part_reports_it_and_says_so(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(parts: Sequence[Part], *arguments: Any, **options: Any) -> Iterator[Played]:
        return first_pass(parts[:1], *arguments, **options)

    monkeypatch.setattr(door, "first_pass", cut_short)
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--json", *PLAIN)
    numbers = json.loads(said)
    assert code == INTERRUPTED
    assert len(numbers["periods"]) == 1
    assert numbers["caveats"][1].startswith("interrupted: 1 of 2 parts are in this report")


@pytest.mark.usefixtures("bare")
def test_ctrl_c_before_all_parts_are_played_begins_no_search(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(parts: Sequence[Part], *arguments: Any, **options: Any) -> Iterator[Played]:
        return first_pass(parts[:1], *arguments, **options)

    monkeypatch.setattr(door, "first_pass", cut_short)
    monkeypatch.setattr(door, "search", None)  # to call it would fail
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--optimize", "--json", *ONE_QUEUE)
    numbers = json.loads(said)
    assert (code, numbers["optimizer"]) == (INTERRUPTED, None)
    assert numbers["absent"]["optimizer"].startswith("It was not begun: an interrupt came")


@pytest.mark.usefixtures("bare")
def test_ctrl_c_among_the_simple_quoters_reports_those_that_ran(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_at(monkeypatch, 3)
    code, said, _ = run_door(capsys, out, "--data", str(sample_folder()), "--json", *PLAIN)
    numbers = json.loads(said)
    assert code == INTERRUPTED
    assert len(numbers["baselines"]) == 1
    assert numbers["caveats"][1] == "interrupted: what was not run is not in this report"


def test_ctrl_c_before_the_first_run_is_done_leaves_no_report(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_at(monkeypatch, 1)
    code, said, errors = run_door(capsys, out, "--data", str(sample_folder()), *PLAIN)
    assert (code, said) == (INTERRUPTED, "")
    assert "interrupted before there was anything to report" in errors
    assert not (out / "index.html").exists()


def test_ctrl_c_is_answered_and_then_left_as_it_was(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: Any, **__: Any) -> Iterator[Played]:
        signal.raise_signal(signal.SIGINT)
        yield from ()

    monkeypatch.setattr(door, "first_pass", pressed)
    before = signal.getsignal(signal.SIGINT)
    code, _, errors = run_door(capsys, out, "--data", str(sample_folder()), *PLAIN)
    assert (code, errors.startswith("interrupted: finishing what was begun")) == (INTERRUPTED, True)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("bare")
def test_periods_that_come_twice_are_a_caveat(capsys: pytest.CaptureFixture[str], out: Path) -> None:
    place = str(part_folders()[0])
    _, said, _ = run_door(capsys, out, "--data", place, "--data", place, "--json", *PLAIN)
    assert any("1 of 2 periods are there more than once" in each for each in json.loads(said)["caveats"])


@pytest.mark.usefixtures("bare")
def test_presets_settings_and_latencies_reach_the_run(
    capsys: pytest.CaptureFixture[str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BacktestResult] = []
    keep = door.make_study

    def studied(results: Any, *arguments: Any, **fields: Any) -> Any:
        seen.extend(results.values())
        return keep(results, *arguments, **fields)

    monkeypatch.setattr(door, "make_study", studied)
    asked = ("--preset", "aggressive", "--set", "lease_s=3", "--latency-ms", "50,80", "--jitter-ms", "4", "--seed", "9")
    code, _, _ = run_door(capsys, out, "--data", str(part_folders()[0]), *asked, *PLAIN)
    assert code == DONE
    (result,) = seen
    expected: MMConfig = load_config("aggressive", overrides=["lease_s=3"])
    options = result.run.options
    assert result.run.config == expected
    assert (options.order, options.cancel, options.seed) == ((0.05, 0.004), (0.08, 0.004), 9)
    assert options.queue == "probabilistic"
