from __future__ import annotations

from pathlib import Path

import pytest

from backtest import cli
from backtest.cli import MEANINGS, QUEUES, Options, make_parser, parse


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        parse(arguments)
    assert stop.value.code == cli.WRONG
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_without_arguments_simulated_periods_run_under_every_queue() -> None:
    given = parse([])
    assert (given.data, given.preset, given.periods, given.series) == ((), "default", 8, "btc-15m")
    assert given.queues == QUEUES
    assert given.headline == "pessimistic"
    assert (given.order_ms, given.cancel_ms, given.jitter_ms, given.requote_ms) == (100.0, 100.0, 0.0, 0.0)
    assert (given.ablation, given.progress, given.json, given.optimize) == (True, True, False, False)
    assert given.compare is None
    assert given.out == Path("out/backtest")


def test_everything_that_is_asked_for_arrives() -> None:
    asked = (
        "--data a --data b --markets btc-15m,ETH-5m --preset scalping --config c.toml --set base_spread=0.03"
        " --set lease_s=2 --queue optimistic --latency-ms 90,150.5 --jitter-ms 5 --optimize --trials 12 --folds 2"
        " --space s.toml --storage sqlite:///x --scheduler tcp://h:1 --workers 3 --out o --json --no-progress --seed 0"
    )
    given = parse(asked.split())
    assert given == Options(
        data=(Path("a"), Path("b")),
        markets=("btc-15m", "eth-5m"),
        preset="scalping",
        config=Path("c.toml"),
        overrides=("base_spread=0.03", "lease_s=2"),
        queues=("optimistic",),
        order_ms=90.0,
        cancel_ms=150.5,
        jitter_ms=5.0,
        requote_ms=100.0,
        generate_sample=False,
        series="btc-15m",
        periods=cli.SEARCH_PERIODS,
        sample=(),
        seed=0,
        optimize=True,
        trials=12,
        folds=2,
        space=Path("s.toml"),
        storage="sqlite:///x",
        scheduler="tcp://h:1",
        compare=None,
        ablation=True,
        workers=3,
        out=Path("o"),
        json=True,
        progress=False,
    )
    assert given.headline == "optimistic"
    assert parse(["--compare", "a.toml", "b.toml"]).compare == (Path("a.toml"), Path("b.toml"))
    knobs = ("--sample", "depth=5", "--sample", "seed=2")
    simulated = parse(["--generate-sample", "--series", "eth-5m", "--periods", "3", "--seed", "4", *knobs])
    assert simulated.generate_sample
    assert (simulated.series, simulated.periods, simulated.seed) == ("eth-5m", 3, 4)
    assert simulated.sample == ("depth=5", "seed=2")
    assert not parse(["--no-ablation"]).ablation


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--data a --markets bitcoin", "--markets:"),
        ("--series bitcoin", "--series"),
        ("--periods 0", "--periods 0: give 1 or more"),
        ("--periods many", "--periods"),
        ("--optimize --trials 9", "--trials 9: give 10 or more"),
        ("--optimize --folds 0", "--folds 0: give 1 or more"),
        ("--workers 0", "--workers"),
        ("--seed -1", "--seed"),
        ("--queue lucky", "--queue"),
        ("--preset reckless", "--preset"),
        ("--latency-ms soon", "--latency-ms"),
        ("--latency-ms 1,2,3", "--latency-ms"),
        ("--latency-ms nan", "--latency-ms"),
        ("--latency-ms=-1", "--latency-ms"),
        ("--latency-ms 70000", "at most 60000"),
        ("--jitter-ms nan", "--jitter-ms"),
        ("--jitter-ms=-1", "--jitter-ms"),
        ("--jitter-ms 5 --latency-ms 0", "a latency of 0 ms cannot spread"),
        ("--jitter-ms 5 --latency-ms 100,0", "a latency of 0 ms cannot spread"),
        ("--sample periods=5", "--sample periods: give --periods"),
        ("--sample series=eth-5m", "--sample series: give --series"),
        ("--compare a.toml", "--compare"),
        ("--compare a.toml b.toml --optimize", "--compare"),
        ("--optimize --generate-sample", "--generate-sample"),
        ("--generate-sample --data a", "--generate-sample"),
        (f"--out {__file__}", "--out"),
        ("--optimise", "--optimise"),
        ("--opt", "--opt"),
        ("recording", "recording"),
    ],
)
def test_a_mistake_is_named_by_its_flag(capsys: pytest.CaptureFixture[str], arguments: str, named: str) -> None:
    assert named in complaint(capsys, *arguments.split())


_SEARCH = ("--trials 10", "--folds 2", "--space s.toml", "--storage sqlite:///x", "--scheduler tcp://h:1")
_CONFIGURATION = ("--preset default", "--config c.toml", "--set lease_s=2")
_RUN = ("--queue all", "--latency-ms 100", "--jitter-ms 5", "--requote-ms 0", "--no-ablation", "--json")
_SIMULATED = ("--periods 8", "--series btc-15m", "--sample depth=5")
_COMPARE = "--compare a.toml b.toml"


@pytest.mark.parametrize(
    ("idle", "others", "remedy"),
    [
        *((flag, others, "add --optimize") for flag in _SEARCH for others in ("", "--data a", _COMPARE)),
        *((flag, "--generate-sample", "leave it out") for flag in (*_CONFIGURATION, *_RUN)),
        *((flag, _COMPARE, "names both configurations: leave it out") for flag in _CONFIGURATION),
        *(("--no-ablation", others, "leave it out") for others in ("--optimize", _COMPARE)),
        *((flag, others, "leave --data out") for flag in _SIMULATED for others in ("--data a", "--data a --optimize")),
        *(("--markets btc-15m", others, "with --series") for others in ("", "--optimize", "--generate-sample")),
        *(("--seed 3", others, "add --jitter-ms or --optimize") for others in ("--data a", f"--data a {_COMPARE}")),
        ("--periods=8", "--data a", "leave --data out"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused_with_the_remedy(
    capsys: pytest.CaptureFixture[str], idle: str, others: str, remedy: str
) -> None:
    parse(others.split())
    told = complaint(capsys, *others.split(), *idle.split())
    assert f"{idle.split()[0].partition('=')[0]} does nothing here: " in told
    assert remedy in told


@pytest.mark.parametrize(
    "arguments",
    [
        *(f"--optimize {flag}" for flag in (*_SEARCH, *_CONFIGURATION, *_SIMULATED, "--seed 3", "--json")),
        *((f"--data a {flag}") for flag in (*_CONFIGURATION, *_RUN, "--markets btc-15m", "--jitter-ms 5 --seed 3")),
        *(f"{_COMPARE} {flag}" for flag in (*_SIMULATED, "--queue all", "--requote-ms 0", "--json", "--seed 3")),
        *(f"--generate-sample {flag}" for flag in (*_SIMULATED, "--seed 3", "--workers 1", "--no-progress")),
        "--data a --optimize --seed 3",
    ],
)
def test_a_flag_that_does_something_is_taken(arguments: str) -> None:
    parse(arguments.split())


def test_the_help_names_every_option_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == cli.DONE
    text = " ".join(capsys.readouterr().out.split())
    flags = {flag for action in make_parser()._actions for flag in action.option_strings}
    assert len(flags) > 25
    for flag in flags:
        assert flag in text
    for code, meaning in MEANINGS.items():
        assert f"{code} {meaning}" in text


def test_every_example_of_the_help_can_be_given() -> None:
    lines = [line.split() for line in str(make_parser().epilog).splitlines() if "mm_backtest.py" in line]
    assert len(lines) >= 6
    for words in lines:
        begin = words.index("mm_backtest.py") + 1
        arguments = words[begin:]
        for end in range(len(arguments), -1, -1):  # behind some stands what they do
            try:
                parse(arguments[:end])
            except SystemExit:
                continue
            assert end >= sum(each.startswith("--") for each in arguments)
            break
