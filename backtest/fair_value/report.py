"""The report as numbers: every table, figure and verdict of the page, computed from the recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backtest.fair_value import scoring
from backtest.fair_value.oracle_mean import OffsetFit, by_second, calibrate_offset, mean_ending, recomputed_windows
from backtest.fair_value.pricing import (
    FAST_STEPS,
    LIVE_STEPS,
    TITLES,
    Competitor,
    Priced,
    Row,
    moments_of,
    price_session,
)
from backtest.fair_value.recordings_io import (
    ARNAVBHATIA,
    LIGENGXIN,
    RESOLVEDKIT,
    THEVALERKA,
    WEIUOU,
    Overlap,
    Recording,
    Session,
)
from backtest.fair_value.scoring import Bin, Estimate
from backtest.fair_value.volatility_check import Measured, measure, qlikes, signature
from shared.config import MMConfig
from shared.market import Series

TWAP_5M, TWAP_15M = "recomputed_twap_5m", "recomputed_twap_15m"
BOOKS = "windows_with_a_book"
BLEND = "blend"
DAY_GROUPS = (LIGENGXIN, TWAP_5M, TWAP_15M)  # one day of prints, on which the step of the live volatility was chosen
AT_LEAST_PRINTS = 57  # of the 60 of an average, for a recomputed outcome
LATE_S = 120

GROUP_TITLES = {
    BOOKS: "Windows with a book and an oracle",
    ARNAVBHATIA: "arnavbhatia1: BTC 5 m, TWAP, official",
    WEIUOU: "weiuou: BTC 15 m, spot, official",
    LIGENGXIN: "ligengxin96: BTC 5 m, spot, official",
    TWAP_5M: "BTC 5 m, TWAP, recomputed by us",
    TWAP_15M: "BTC 15 m, TWAP, recomputed by us",
    THEVALERKA: "thevalerka: BTC 15 m, spot, mid only",
    RESOLVEDKIT: "resolvedkit: BTC 15 m, TWAP, mid only",
}
# What each group is made of, in the order of the page.
GROUPS: dict[str, tuple[str, ...]] = {
    BOOKS: (ARNAVBHATIA, WEIUOU),
    **{name: (name,) for name in (ARNAVBHATIA, WEIUOU, LIGENGXIN, TWAP_5M, TWAP_15M, THEVALERKA, RESOLVEDKIT)},
}
NAMES: dict[str, str] = {BLEND: "blend of ours and mid", **{str(name): title for name, title in TITLES.items()}}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """One competitor on the rows of one group; differences are ours minus theirs (negative: ours is better)."""

    competitor: str
    log_loss: Estimate
    brier: Estimate
    slope: Estimate | None
    log_loss_difference: Estimate
    brier_difference: Estimate


@dataclass(frozen=True)
class GroupReport:
    """The scores of one group: overall, in the last two minutes, and by seconds left."""

    name: str
    title: str
    periods: int
    rows: int
    overall: tuple[Scores, ...]
    late: tuple[Scores, ...]
    by_tau: dict[int, tuple[Scores, ...]]
    reliability: dict[str, list[Bin]]
    per_period: dict[str, dict[str, float]]  # competitor -> slug -> mean log-loss; for small groups
    blend_weights: tuple[float, ...]
    blend_differences: dict[Competitor, Estimate]  # the blend's log-loss less the other's

    def find(self, competitor: str, *, late: bool = False) -> Scores | None:
        """The scores of a competitor, or None when it is not in this group."""
        return next((each for each in (self.late if late else self.overall) if each.competitor == competitor), None)


@dataclass(frozen=True)
class OfficialValue:
    """An official strike or final beside our mean of the prints at the best offset; `prints` of 60 were recorded."""

    slug: str
    which: str
    official: float
    recomputed: float
    prints: int


@dataclass(frozen=True)
class Target:
    """One question the report was made for: `holds`, `fails` or `cannot decide`, and the number behind it."""

    question: str
    group: str
    verdict: str
    difference: Estimate


@dataclass
class Report:
    """Everything the page shows."""

    groups: dict[str, GroupReport] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    scored: Counter[str] = field(default_factory=Counter)
    checks: dict[str, Counter[str]] = field(default_factory=dict)
    refused_windows: dict[str, int] = field(default_factory=dict)
    offset: OffsetFit | None = None
    official_values: list[OfficialValue] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    qlike: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    signatures: dict[str, dict[int, float]] = field(default_factory=dict)
    overlaps: list[Overlap] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    window_offset_s: int = 0


class Builder:
    """Prices all recordings, then scores them. `steps` instants are priced."""

    def __init__(self, recordings: Sequence[Recording], config: MMConfig) -> None:
        self._config = config
        self._report = Report(window_offset_s=round(config.window_offset_s))
        self._priced = Priced([], [], Counter())
        self._recordings = [self._with_recomputed(recording) for recording in recordings]
        self.steps = sum(len(moments_of(s.windows)) for r in self._recordings for s in r.sessions)

    def _with_recomputed(self, recording: Recording) -> Recording:
        """Add the windows settled by our own averages to the day of oracle prints."""
        if recording.name != LIGENGXIN:
            return recording
        sessions = []
        for session in recording.sessions:
            added = list(session.windows)
            for name, series in ((TWAP_5M, "btc-5m"), (TWAP_15M, "btc-15m")):
                if session.oracle is None:
                    continue
                windows, refused = recomputed_windows(
                    session.oracle,
                    Series.parse(series),
                    group=name,
                    offset_s=self._report.window_offset_s,
                    at_least=AT_LEAST_PRINTS,
                )
                added += windows
                self._report.refused_windows[name] = self._report.refused_windows.get(name, 0) + refused
            sessions.append(replace(session, windows=tuple(added)))
        return replace(recording, sessions=tuple(sessions))

    def price(self) -> Iterator[int]:
        """Price every instant; yields how many are done."""
        done = 0
        for recording in self._recordings:
            for session in recording.sessions:
                before = done
                for number in price_session(session, recording, self._config, self._priced):
                    done = before + number
                    yield done

    def score(self) -> Report:
        """Score what was priced."""
        report = self._report
        report.drops = self._priced.drops
        report.scored = Counter(row.group for row in self._priced.rows)
        report.checks = {recording.name: recording.checks for recording in self._recordings}
        for name, members in GROUPS.items():
            rows = [row for row in self._priced.rows if row.group in members]
            if rows:
                report.groups[name] = score_group(name, rows)
        report.targets = targets_of(report.groups)
        self._calibrate()
        self._measure()
        return report

    def _sessions(self) -> Iterator[tuple[Recording, Session]]:
        for recording in self._recordings:
            for session in recording.sessions:
                yield recording, session

    def _calibrate(self) -> None:
        found = [s for _, s in self._sessions() if s.oracle is not None and s.ticks is not None and len(s.ticks.prices)]
        prints = [by_second(s.oracle) for s in found if s.oracle is not None]
        ticks = [by_second(s.ticks) for s in found if s.ticks is not None]
        fit = self._report.offset = calibrate_offset(prints, ticks)
        if fit is None:
            return
        for session, prices in zip(found, prints, strict=True):
            for window in session.windows:
                if window.strike is None:
                    continue
                mean = mean_ending(prices, window.start_s, offset_s=fit.best_offset_s, at_least=1)
                if mean is not None:
                    last = window.start_s - fit.best_offset_s
                    seen = sum(second in prices for second in range(last - 59, last + 1))
                    self._report.official_values.append(OfficialValue(window.slug, "strike", window.strike, mean, seen))

    def _measure(self) -> None:
        report = self._report
        for recording, session in self._sessions():
            stream = session.venue or session.oracle
            if stream is None:
                continue
            own = {(window.group, window.slug) for window in session.windows}
            forecasts = [each for each in self._priced.forecasts if (each.group, each.slug) in own]
            wanted = [each for each in forecasts if each.group in (ARNAVBHATIA, LIGENGXIN)]
            report.measured += measure(wanted, stream)
            if recording.name == LIGENGXIN and session.oracle is not None:
                _note(report.signatures, "Chainlink prints, 2026-06-08 (ligengxin96)", signature(session.oracle))
        for recording in self._recordings:
            if recording.name == ARNAVBHATIA:
                for number, session in enumerate(recording.sessions, 1):
                    if session.oracle is not None:
                        _note(
                            report.signatures,
                            f"Chainlink prints, window {number} (arnavbhatia1)",
                            signature(session.oracle),
                        )
                    if session.venue is not None:
                        _note(
                            report.signatures,
                            f"Binance relay, window {number} (arnavbhatia1)",
                            signature(session.venue),
                        )
        for group in (LIGENGXIN, ARNAVBHATIA):
            measured = [each for each in report.measured if each.group == group]
            if measured:
                report.qlike[group] = {
                    name: found
                    for name, numbers in qlikes(measured).items()
                    if (found := scoring.estimate(numbers, np.arange(len(numbers)))) is not None
                }


def _note(signatures: dict[str, dict[int, float]], name: str, curve: dict[int, float] | None) -> None:
    if curve is not None:
        signatures[name] = curve


# -- groups ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Rows as columns; `said` holds only competitors that spoke in every row."""

    periods: NDArray[np.int64]
    tau_s: NDArray[np.int64]
    is_up: Floats
    said: dict[str, Floats]

    def where(self, chosen: NDArray[np.bool_]) -> _Table:
        said = {name: numbers[chosen] for name, numbers in self.said.items()}
        return _Table(self.periods[chosen], self.tau_s[chosen], self.is_up[chosen], said)


def score_group(name: str, rows: Sequence[Row]) -> GroupReport:
    """All scores of the rows of a group, over the competitors that spoke in every row."""
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        numbers.setdefault((row.group, row.slug), len(numbers))
    competitors: list[Competitor] = [each for each in TITLES if all(each in row.said for row in rows)]
    table = _Table(
        np.array([numbers[row.group, row.slug] for row in rows]),
        np.array([row.tau_s for row in rows]),
        np.array([float(row.is_up) for row in rows]),
        {each: np.array([row.said[each] for row in rows]) for each in competitors},
    )
    weights: tuple[float, ...] = ()
    if "ours" in table.said and "mid" in table.said:
        blended = scoring.blend_leaving_one_out(table.said["ours"], table.said["mid"], table.is_up, table.periods)
        if blended is not None:
            table.said[BLEND], weights = blended[0], tuple(blended[1])
    return GroupReport(
        name=name,
        title=GROUP_TITLES[name],
        periods=len(numbers),
        rows=len(rows),
        overall=_scores(table),
        late=_scores(table.where(table.tau_s <= LATE_S)),
        by_tau={int(tau_s): _scores(table.where(table.tau_s == tau_s)) for tau_s in sorted(set(table.tau_s.tolist()))},
        reliability={each: scoring.reliability(said, table.is_up, table.periods) for each, said in table.said.items()},
        per_period=_per_period(table, [slug for _, slug in numbers])
        if len(numbers) < scoring.PERIODS_TO_DECIDE
        else {},
        blend_weights=weights,
        blend_differences=_blend_differences(table),
    )


def _scores(table: _Table) -> tuple[Scores, ...]:
    if not len(table.periods):
        return ()
    base = table.said.get("ours", next(iter(table.said.values())))
    base_loss, base_brier = scoring.log_loss(base, table.is_up), scoring.brier(base, table.is_up)
    found = []
    for competitor, said in table.said.items():
        loss, square = scoring.log_loss(said, table.is_up), scoring.brier(said, table.is_up)
        estimates = [
            scoring.estimate(numbers, table.periods)
            for numbers in (loss, square, base_loss - loss, base_brier - square)
        ]
        log_loss, brier, loss_difference, brier_difference = estimates
        assert log_loss is not None
        assert brier is not None
        assert loss_difference is not None
        assert brier_difference is not None
        slope = scoring.slope_estimate(said, table.is_up, table.periods)
        found.append(Scores(competitor, log_loss, brier, slope, loss_difference, brier_difference))
    return tuple(found)


def _blend_differences(table: _Table) -> dict[Competitor, Estimate]:
    if BLEND not in table.said:
        return {}
    blended = scoring.log_loss(table.said[BLEND], table.is_up)
    others: tuple[Competitor, ...] = ("ours", "mid")
    found = {
        each: scoring.estimate(blended - scoring.log_loss(table.said[each], table.is_up), table.periods)
        for each in others
    }
    return {each: difference for each, difference in found.items() if difference is not None}


def _per_period(table: _Table, slugs: Sequence[str]) -> dict[str, dict[str, float]]:
    means = {
        each: scoring.period_means(scoring.log_loss(said, table.is_up), table.periods).tolist()
        for each, said in table.said.items()
    }
    return {each: dict(zip(slugs, losses, strict=True)) for each, losses in means.items()}


# -- targets -----------------------------------------------------------------------------------------------------------


def targets_of(groups: dict[str, GroupReport]) -> list[Target]:
    """The questions, on every group that can be asked; a pooled group stands for its members."""
    asked = [each for each in groups.values() if BOOKS not in groups or each.name not in GROUPS[BOOKS]]
    differences: list[tuple[str, GroupReport, Estimate]] = []
    for group in asked:
        mid = group.find("mid")
        if mid is not None and group.find("ours") is not None:
            differences.append(
                ("Our fair value is not worse than the book mid, overall", group, mid.log_loss_difference)
            )
    for group in asked:
        naive = group.find("naive", late=True)
        if naive is not None:
            question = f"Our fair value beats the naive digital in the last {LATE_S} s"
            differences.append((question, group, naive.log_loss_difference))
    for group in asked:
        fast = group.find("fast_sigma")
        if fast is not None and group.name in DAY_GROUPS:
            steps = f"{LIVE_STEPS.sample_s:g} s steps are better than {FAST_STEPS.sample_s:g} s steps"
            differences.append(
                (f"{steps}, overall (chosen on this very day: no proof)", group, fast.log_loss_difference)
            )
    for group in asked:
        for name, difference in group.blend_differences.items():
            question = f"The blend is at least as good as {TITLES[name]}"
            differences.append((question, group, difference))
    return [
        Target(question, group.title, scoring.verdict_not_worse(difference), difference)
        for question, group, difference in differences
    ]
