"""The answer: a configuration that beats the default, or that none does.

The burden of proof is on the candidate. It must meet every demand, each under the pessimistic and under the
probabilistic queue; a demand that must hold under both needs no correction for having been asked twice.

    out of sample   what the folds' choices gained on periods that they were not chosen on: the lower bound of a
                    bootstrap by period, one-sided at `level`, is above 0. The only unbiased figure; the others guard it
    deflation       the candidate's gains over all periods, judged as the best of so many trials: deflated Sharpe ratio
    overfitting     the best trial of one half of the periods is seldom below the median of all in the other: CSCV
    stability       the choice is made again on resampled periods, and beats the default on the periods left out

Deflation needs the spread of Sharpe ratios among trials *without* skill. The spread that is observed holds true
differences as well, and a space with some very bad corners would bar the best of it. Without skill a ratio over T
periods errs by 1 / sqrt(T - 1), and independent ratios are the worst case; so the smaller of the two is the spread.
Every trial that ever differed from the default counts as an independent one, which asks for more than the truth would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backtest.optimizer.evaluate import JUDGES, QUEUE_MODELS, FloatArray, IntArray
from backtest.optimizer.objective import resampled_scores
from backtest.optimizer.search import Found, Scored
from backtest.statistics import deflated_sharpe, overfitting, paired_difference, sharpe_of
from shared.config import MMConfig

_BLOCKS = 16  # of periods, for overfitting: as in its source
_BLOCK_PERIODS = 10  # at least; fewer periods make fewer blocks
_ALIKE = 0.8  # correlation of gains from which two configurations are one choice


class Demands(NamedTuple):
    """What a recommendation must meet."""

    level: float = 0.05  # one-sided chance of calling luck a gain out of sample
    min_deflated_sharpe: float = 0.95  # probability
    max_overfitting: float = 0.2  # probability
    min_stability: float = 0.8  # share of resamples
    resamples: int = 9999  # of the out-of-sample gains
    selections: int = 200  # repeated choices, for the stability


DEMANDS = Demands()


class Gain(NamedTuple):
    """What the folds' choices earned out of sample under one model of the queue, in dollars a period."""

    queue_model: str
    periods: int
    choice_usd: float
    default_usd: float
    gain_usd: float
    low_usd: float  # the gain is above this with a confidence of 1 - level; NaN when all gains are equal
    high_usd: float
    p_value: float  # two-sided, of no difference

    @property
    def is_shown(self) -> bool:
        """The gain is more than luck."""
        return self.low_usd > 0.0


class Stability(NamedTuple):
    """The choice repeated on resampled periods: shares of all resamples."""

    beats_default: float  # gained on the periods left out, under both judging queues
    is_alike: float  # chose the candidate, or one whose gains go with its


@dataclass(frozen=True)
class Verdict:
    """The answer and every figure that it rests on. A figure is None when nothing could be judged."""

    recommended: MMConfig | None
    sentence: str
    shortfalls: tuple[str, ...]  # demands that were not met, in words; empty with a recommendation
    candidate: MMConfig | None  # the best over all periods; None when nothing scored above the default
    changes: dict[str, tuple[Any, Any]]  # dotted setting: the default's, the candidate's
    gains: tuple[Gain, ...]  # out of sample, one for each queue model; empty without a tested fold
    deflated_sharpe: float | None
    overfitting: float | None
    stability: Stability | None
    trials: int  # over all periods
    periods: int
    folds: int  # tested
    demands: Demands

    def describe(self) -> dict[str, Any]:
        """All of it for a report: what JSON can hold."""
        return {
            "recommended": self.recommended.model_dump(mode="json") if self.recommended else None,
            "sentence": self.sentence,
            "shortfalls": list(self.shortfalls),
            "candidate": self.candidate.model_dump(mode="json") if self.candidate else None,
            "changes": {name: {"default": old, "candidate": new} for name, (old, new) in self.changes.items()},
            "gains": [{name: _or_none(figure) for name, figure in each._asdict().items()} for each in self.gains],
            "deflated_sharpe": self.deflated_sharpe,
            "overfitting": self.overfitting,
            "stability": self.stability._asdict() if self.stability else None,
            "trials": self.trials,
            "periods": self.periods,
            "folds": self.folds,
            "demands": self.demands._asdict(),
        }


def decide(found: Found, *, seed: int = 0, demands: Demands = DEMANDS) -> Verdict:
    """Judge what a search found. The same finding, seed and demands give the same verdict."""
    rng = np.random.default_rng(seed)
    gains = _out_of_sample(found, demands, rng)
    chosen = found.chosen
    trial_gains = _gains(found, found.scored)
    overfit = _overfitting(trial_gains)
    config = sharpe = stability = None
    if chosen is not None:
        config = found.scored[chosen].config
        sharpe = _deflated(trial_gains, chosen)
        stability = _stability(trial_gains, chosen, demands.selections, rng)
    shortfalls = _shortfalls(found, gains, sharpe, overfit, stability, demands)
    return Verdict(
        recommended=config if not shortfalls else None,
        sentence=_sentence(found, gains, shortfalls, demands),
        shortfalls=shortfalls,
        candidate=config,
        changes=changes(found.plan.space.base, config) if config is not None else {},
        gains=gains,
        deflated_sharpe=sharpe,
        overfitting=overfit,
        stability=stability,
        trials=len(found.scored),
        periods=len(found.default_usd),
        folds=len(found.tested),
        demands=demands,
    )


def changes(default: MMConfig, config: MMConfig) -> dict[str, tuple[Any, Any]]:
    """What a configuration sets otherwise: dotted setting, the default's number, its own."""
    ours, theirs = _leaves(config.model_dump(mode="json")), _leaves(default.model_dump(mode="json"))
    return {name: (theirs[name], number) for name, number in ours.items() if theirs[name] != number}


def _leaves(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, held in nested.items():
        flat |= _leaves(held, f"{prefix}{name}.") if isinstance(held, dict) else {prefix + name: held}
    return flat


def _gains(found: Found, scored: Sequence[Scored]) -> FloatArray:
    """Periods x configurations x queue models."""
    if not scored:
        return np.empty((len(found.default_usd), 0, len(QUEUE_MODELS)))
    return np.stack([each.pnl_usd - found.default_usd for each in scored], axis=1)


# -- figures ----------------------------------------------------------------------------------------------------------


def _out_of_sample(found: Found, demands: Demands, rng: np.random.Generator) -> tuple[Gain, ...]:
    if not found.tested:
        return ()
    ours = np.concatenate([each.pnl_usd for each in found.tested])
    theirs = np.concatenate([each.default_usd for each in found.tested])
    gains = []
    for place, name in enumerate(QUEUE_MODELS):
        difference = paired_difference(
            ours[:, place],
            theirs[:, place],
            rng=rng,
            confidence=1.0 - 2.0 * demands.level,  # both its bounds are one-sided at the level
            resamples=demands.resamples,
        )
        if difference is None:
            return ()
        estimate = difference.estimate
        gains.append(
            Gain(
                name,
                len(ours),
                float(ours[:, place].mean()),
                float(theirs[:, place].mean()),
                estimate.mean_usd,
                estimate.low_usd,
                estimate.high_usd,
                difference.p_value,
            )
        )
    return tuple(gains)


def _deflated(gains: FloatArray, chosen: int) -> float | None:
    """The deflated Sharpe ratio of the chosen configuration's gains, under the worse judge. None without any spread."""
    periods = len(gains)
    found = []
    for judge in JUDGES:
        observed = sharpe_of(gains[:, chosen, judge])
        if observed is None:
            return None
        sd = gains[:, :, judge].std(axis=0, ddof=1)
        ratios = gains[:, :, judge].mean(axis=0)[sd > 0.0] / sd[sd > 0.0]  # the default has none: it gains nothing
        seen = float(np.var(ratios, ddof=1)) if len(ratios) > 1 else np.inf
        unskilled = min(seen, 1.0 / (periods - 1))
        probability = deflated_sharpe(observed, trials=len(ratios), trial_variance=unskilled)
        if probability is None:
            return None
        found.append(probability)
    return min(found)


def _overfitting(gains: FloatArray) -> float | None:
    """The probability of overfitting among configurations, under the worse judge. None with fewer than two."""
    blocks = min(_BLOCKS, 2 * (len(gains) // (2 * _BLOCK_PERIODS)))
    if gains.shape[1] < 2 or blocks < 2:
        return None
    return max(overfitting(gains[:, :, judge], blocks=blocks).probability for judge in JUDGES)


def _stability(gains: FloatArray, chosen: int, selections: int, rng: np.random.Generator) -> Stability:
    periods = len(gains)
    counts: IntArray = rng.multinomial(periods, np.full(periods, 1.0 / periods), size=selections)
    scores = resampled_scores(gains, counts)
    picks = np.argmax(scores, axis=1)
    is_default = scores.max(axis=1) <= 0.0
    left_out = (counts == 0).astype(np.float64)
    earned = np.full(selections, np.inf)
    for judge in JUDGES:
        mean = left_out @ gains[:, :, judge] / left_out.sum(axis=1)[:, None]
        np.minimum(earned, mean[np.arange(selections), picks], out=earned)
    alike = _correlations(gains[:, :, JUDGES[0]], chosen) >= _ALIKE
    return Stability(
        float(np.mean(~is_default & (earned > 0.0))),
        float(np.mean(~is_default & alike[picks])),
    )


def _correlations(gains: FloatArray, chosen: int) -> FloatArray:
    """Of each configuration's gains with the chosen one's; 0 without any spread, 1 with itself."""
    moved = gains - gains.mean(axis=0)
    norms = np.sqrt((moved * moved).sum(axis=0))
    scale = norms * norms[chosen]
    found = np.divide(moved.T @ moved[:, chosen], scale, out=np.zeros(len(scale)), where=scale > 0.0)
    found[chosen] = 1.0
    return np.asarray(found)


# -- words ------------------------------------------------------------------------------------------------------------


def _shortfalls(
    found: Found,
    gains: tuple[Gain, ...],
    sharpe: float | None,
    overfit: float | None,
    stability: Stability | None,
    demands: Demands,
) -> tuple[str, ...]:
    """Every demand that is not met. What could not be computed is not met."""
    if not found.is_complete:
        return ("the search was stopped before every study had explored the space: run it again to go on",)
    if found.chosen is None:
        return ("no trial scored above the default over all periods",)
    short = []
    for judge in JUDGES:
        if not gains or not gains[judge].is_shown:
            gained = _usd(gains[judge].gain_usd) if gains else "nothing"
            low = _usd(gains[judge].low_usd) if gains else _usd(np.nan)
            short.append(
                f"out of sample the choices gained {gained} a period under the {QUEUE_MODELS[judge]} queue, and the "
                f"lower bound at {1.0 - demands.level:.0%} confidence, {low}, is not above 0"
            )
    if sharpe is None or sharpe < demands.min_deflated_sharpe:
        short.append(
            f"as the best of {len(found.scored)} trials its gain is real with a probability of {_share(sharpe)} "
            f"(deflated Sharpe ratio), under {demands.min_deflated_sharpe:.0%}"
        )
    if overfit is None or overfit > demands.max_overfitting:
        short.append(
            f"the best of one half of the periods is below the median of the other with a probability of "
            f"{_share(overfit)}, over {demands.max_overfitting:.0%}"
        )
    if stability is None or stability.beats_default < demands.min_stability:
        beaten = stability.beats_default if stability else None
        short.append(
            f"chosen again on resampled periods it beats the default in {_share(beaten)} of them, under "
            f"{demands.min_stability:.0%}"
        )
    return tuple(short)


def _sentence(found: Found, gains: tuple[Gain, ...], shortfalls: tuple[str, ...], demands: Demands) -> str:
    if not found.is_complete:
        return f"No answer yet: {shortfalls[0]}."
    early = " The search was stopped early; run it again to go on." if found.is_interrupted else ""
    if shortfalls:
        return f"No configuration beats the default: {'; '.join(shortfalls)}.{early}"
    worst = min((gains[judge] for judge in JUDGES), key=lambda each: each.low_usd)
    text = (
        f"A configuration beats the default: chosen the same way, {_usd(worst.gain_usd)} a period more out of sample, "
        f"at least {_usd(worst.low_usd)} with {1.0 - demands.level:.0%} confidence under the {worst.queue_model} queue "
        f"({worst.periods} periods)."
    )
    poorest = min((gains[judge] for judge in JUDGES), key=lambda each: each.choice_usd)
    if poorest.choice_usd < 0.0:
        text += (
            f" It still loses {_usd(-poorest.choice_usd)} a period under the {poorest.queue_model} queue: not to trade "
            "is better than either."
        )
    return text + early


def _usd(dollars: float) -> str:
    return "an unknown sum" if np.isnan(dollars) else f"{'-' if dollars < 0.0 else ''}${abs(dollars):.4f}"


def _share(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"


def _or_none(figure: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(figure, float) and np.isnan(figure) else figure
