from __future__ import annotations

from pathlib import Path

import pytest

import mm_backtest
from backtest import api
from backtest.api import BacktestResult, backtest, write_sample
from backtest.engine import LatencyModel, RunOptions, run
from backtest.events_io import EventsError, read_events
from backtest.sample import SampleSettings
from shared.config import ConfigError, MMConfig, load_config
from tests.backtest.small_sample import KNOBS, MARKET, first_events, part_folders, sample_folder, small_tapes
from tests.backtest.small_sample import tapes_folder as kept_tapes


def same(one: BacktestResult, other: BacktestResult) -> bool:
    kinds = ("fills", "periods", "quotes")
    return all(getattr(one.run, each).tobytes() == getattr(other.run, each).tobytes() for each in kinds)


def test_the_door_of_python_is_the_file_that_one_runs() -> None:
    assert mm_backtest.backtest is backtest
    assert mm_backtest.write_sample is write_sample
    assert mm_backtest.BacktestResult is BacktestResult


def test_a_folder_is_run_as_the_engine_runs_its_tapes() -> None:
    steps: list[int] = []
    result = backtest(
        sample_folder(), queue="optimistic", latency_ms=50.0, jitter_ms=20.0, seed=3, tapes=kept_tapes(),
        progress=steps.append,
    )  # fmt: skip
    latency = LatencyModel(0.05, 0.02)
    options = RunOptions(queue="optimistic", order=latency, cancel=latency, seed=3, keeps_quotes=True)
    by_hand = BacktestResult(run(small_tapes(), load_config(), options), small_tapes())
    assert same(result, by_hand)
    assert result.slugs == [tape.slug for tape in small_tapes()]
    assert steps[-1] == by_hand.run.steps


def test_events_in_memory_and_their_folder_give_the_same_result() -> None:
    from_memory = backtest(first_events())
    assert same(from_memory, backtest(part_folders()[0], tapes=kept_tapes()))
    assert same(from_memory, backtest([str(part_folders()[0])], tapes=kept_tapes(), markets=[MARKET]))
    assert from_memory.summary()["queue"] == "pessimistic"


def test_a_configuration_stands_instead_of_a_preset_and_a_baseline_instead_of_the_engine() -> None:
    ours = MMConfig(base_spread=0.01)
    assert backtest(sample_folder(), config=ours, preset="scalping", tapes=kept_tapes()).run.config == ours
    simple = backtest(sample_folder(), strategy="bands", keeps_quotes=False, tapes=kept_tapes())
    assert simple.summary()["strategy"] == "bands"
    assert len(simple.run.quotes) == 0


def test_what_cannot_be_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EventsError, match="not found"):
        backtest(tmp_path / "nowhere")
    with pytest.raises(EventsError, match="no period was seen"):
        backtest(part_folders()[0], markets=["eth-5m"])
    with pytest.raises(ConfigError, match="reckless"):
        backtest(sample_folder(), preset="reckless")
    with pytest.raises(ValueError, match="lucky"):
        backtest(sample_folder(), queue="lucky", tapes=kept_tapes())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="martingale"):
        backtest(sample_folder(), strategy="martingale", tapes=kept_tapes())


def test_an_interrupt_is_no_result_of_half_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "first_pass", lambda *_, **__: iter(()))
    with pytest.raises(KeyboardInterrupt):
        backtest(sample_folder())


def test_a_sample_is_written_as_folders_that_hold_what_its_settings_make(tmp_path: Path) -> None:
    settings = SampleSettings.model_validate({"series": MARKET, "periods": 1, **KNOBS})
    (written,) = write_sample(tmp_path, settings)
    assert written.name == f"{settings.name}-0000" == part_folders()[0].name
    assert (read_events(written).books == first_events().books).all()
    assert write_sample(tmp_path, settings) == [written]
