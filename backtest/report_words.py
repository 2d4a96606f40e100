"""Sentences and figures in words, composed from the numbers of a report: no number here is not in the `Study`."""

from __future__ import annotations

import math
from collections.abc import Iterable

from backtest.fair_value.scoring import PERIODS_TO_DECIDE, Estimate
from backtest.report import SECTIONS, Deflated, Paired, Study
from services.quoter.action import RULES
from shared.config import Techniques

NONE = "–"
SURE_SHARPE = 0.95  # a deflated Sharpe ratio below this may be luck
LIKELY_OVERFIT = 0.2  # a probability of overfitting above this is too much
_MOST_DIGITS = 5
_MEANING = {rule.label: rule.meaning for rule in RULES}
_ACTION = {rule.label: rule.action for rule in RULES}
_WHY_ABSENT = {
    "bracket": "The run used one queue model only, so nothing brackets its fills.",
    "equity": "No equity was recorded.",
    "periods": "The run has no rows of single periods.",
    "attribution": "The P&L was not attributed in this run.",
    "markouts": "No markout could be taken: no mid was seen after the fills.",
    "win_lose": "No outcome of a period with fills is known.",
    "breakdowns": "The fills were not broken down in this run.",
    "uptime": "The run did not record how long it quoted.",
    "ablation": "No ablation was run: what each technique is worth is not known.",
    "baselines": "No baseline was run: whether a simple quoter does as well is not known.",
    "optimizer": "The optimizer was not run: the settings are those of the configuration.",
    "comparison": "Nothing was compared: this is a report of one run.",
}
_NEEDS_FILLS = ("attribution", "markouts", "win_lose", "breakdowns")


# -- figures -----------------------------------------------------------------------------------------------------------


def signed(number: float, digits: int) -> str:
    """A number with a true minus sign, thousands apart; zero has no sign."""
    text = f"{abs(number):,.{digits}f}"
    is_zero = not any(digit in text for digit in "123456789")
    return text if number > 0.0 or is_zero else f"−{text}"


def usd(number: float | None, digits: int = 2) -> str:
    """Dollars; a dash for none."""
    if number is None or math.isnan(number):
        return NONE
    text = signed(number, digits)
    return f"−${text[1:]}" if text.startswith("−") else f"${text}"


def interval(estimate: Estimate | None, digits: int = 2) -> str:
    """The interval alone; says so when there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{usd(estimate.low, digits)}, {usd(estimate.high, digits)}]"


def mean_and_interval(estimate: Estimate | None, digits: int = 2) -> str:
    """Mean and interval in dollars; a dash where there is no answer."""
    return NONE if estimate is None else f"{usd(estimate.mean, digits)} {interval(estimate, digits)}"


def digits_of(estimates: Iterable[Estimate | None]) -> int:
    """Decimals that show three figures of the greatest mean and no bound as zero that is not: 2 to 5, for a table."""
    known = [each for each in estimates if each is not None]
    greatest = max((abs(each.mean) for each in known), default=0.0)
    digits = 2 if greatest == 0.0 else min(max(2 - math.floor(math.log10(greatest)), 2), _MOST_DIGITS)
    bounds = [bound for each in known for bound in (each.low, each.high) if bound]
    while digits < _MOST_DIGITS and any(round(bound, digits) == 0.0 for bound in bounds):
        digits += 1
    return digits


def share(part: float | None) -> str:
    """A share of one in percent; a dash for none."""
    return NONE if part is None or math.isnan(part) else f"{signed(100.0 * part, 1)} %"


def count(number: float, noun: str) -> str:
    """A count and its noun: `1 period`, `2 periods`."""
    return f"{number:,.0f} {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def chance(p: float | None) -> str:
    """A probability of no difference; a dash for none."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def horizon(seconds: float | None) -> str:
    """A markout's horizon."""
    return "settlement" if seconds is None else f"{seconds:g} s"


# -- what an interval says ---------------------------------------------------------------------------------------------


def side_of_zero(estimate: Estimate) -> int:
    """+1 or -1 when the whole interval is above or below zero and enough periods stand behind it; 0: cannot say."""
    if estimate.low is None or estimate.high is None or estimate.periods < PERIODS_TO_DECIDE:
        return 0
    return (estimate.low > 0.0) - (estimate.high < 0.0)


def clearness(estimate: Estimate, digits: int = 2) -> str:
    """Whether the interval of a P&L is clear of zero, as a sentence."""
    if estimate.low is None or estimate.high is None:
        return f"{count(estimate.periods, 'period').capitalize()} cannot give an interval: this data cannot say."
    if estimate.low <= 0.0 <= estimate.high:
        return f"The 95 % interval {interval(estimate, digits)} includes zero: this data cannot say."
    where = "above" if estimate.low > 0.0 else "below"
    if estimate.periods < PERIODS_TO_DECIDE:
        return (
            f"The 95 % interval {interval(estimate, digits)} is {where} zero, but with fewer than {PERIODS_TO_DECIDE} "
            "periods it is too narrow to be believed: this data cannot say."
        )
    return f"The 95 % interval {interval(estimate, digits)} is {where} zero."


def verdict(study: Study) -> tuple[str, ...]:
    """Did it make money, under which queue model, is the interval clear of zero, and what is the caveat."""
    sentences = [_result(study)]
    if study.headline.fills:
        sentences.append(clearness(study.headline.pnl_usd, study_digits(study)))
        sentences += _bracket(study)
    if study.headline.deflated is not None:
        sentences.append(deflation(study.headline.deflated))
    if study.caveats:
        sentences.append(f"The first caveat: {study.caveats[0]}")
    else:
        sentences.append("It is a simulation: nobody reacts to our orders.")
    return tuple(sentences)


def study_digits(study: Study) -> int:
    """Decimals of every P&L of a period in this study."""
    return digits_of([study.headline.pnl_usd, *(row.pnl_usd for row in study.bracket)])


def _result(study: Study) -> str:
    headline = study.headline
    ran = count(headline.pnl_usd.periods, "period")
    under = f"under the {study.model.queue} queue model"
    if not headline.fills:
        return f"It did not trade: no order was filled in {ran} {under}."
    digits = study_digits(study)
    mean = (
        f"{usd(abs(headline.pnl_usd.mean), digits)} a period over {ran}, {usd(abs(headline.total_usd))} in all, {under}"
    )
    if headline.total_usd == 0.0:
        return f"It came out even: {mean}."
    return f"It {'made' if headline.total_usd > 0.0 else 'lost'} {mean}."


def _bracket(study: Study) -> list[str]:
    others = [row for row in study.bracket if row.queue != study.model.queue]
    if not others:
        return ["No other queue model was run, so it is not known how much hangs on the queue."]
    digits = study_digits(study)
    told = "; ".join(f"{row.queue} {mean_and_interval(row.pnl_usd, digits)}" for row in others)
    return [f"Other queue models: {told}.", _agreement([row.pnl_usd for row in study.bracket])]


def _agreement(estimates: list[Estimate]) -> str:
    sides = {side_of_zero(each) for each in estimates}
    if sides == {1}:
        return "All queue models are clear of zero, on the side of profit."
    if sides == {-1}:
        return "All queue models are clear of zero, on the side of loss."
    if len({each.mean > 0.0 for each in estimates}) > 1:
        return "Profit or loss hangs on the queue model."
    return "They agree on the sign, but not all are clear of zero."


def deflation(deflated: Deflated) -> str:
    """What is left of a Sharpe ratio when the tries are counted, as a sentence."""
    tried = f"{deflated.trials:,.4g} configurations" if deflated.trials != 1 else "one configuration"
    surely = "it is hardly luck" if deflated.probability >= SURE_SHARPE else "it may be luck"
    return (
        f"The Sharpe ratio of a period is {signed(deflated.sharpe, 3)}; the best of {tried} without skill would show "
        f"{signed(deflated.luck_sharpe, 3)}, and the probability that ours is truly above that is "
        f"{share(deflated.probability)}: {surely} ({share(SURE_SHARPE)} asked for)."
    )


def overfitting(probability: float) -> str:
    """What the probability of backtest overfitting means, as a sentence."""
    judged = "too much" if probability > LIKELY_OVERFIT else "acceptable"
    return (
        f"In {share(probability)} of the splits the best settings in sample came out below the median out of sample: "
        f"{judged} (at most {share(LIKELY_OVERFIT)} asked for)."
    )


# -- sections ----------------------------------------------------------------------------------------------------------


def why_absent(study: Study, section: str) -> str:
    """Why a section has nothing to show: the caller's reason, or what is plain from the numbers."""
    if section in study.absent:
        return study.absent[section]
    if section in _NEEDS_FILLS and not study.headline.fills:
        return f"No order was filled, so “{SECTIONS[section].lower()}” has nothing to show."
    return _WHY_ABSENT[section]


def share_won(study: Study) -> float | None:
    """Share of the bought shares whose token won, of those whose outcome is known; None: none are."""
    won = math.fsum(each.shares for each in study.win_lose if each.won)
    known = math.fsum(each.shares for each in study.win_lose if each.won is not None)
    return won / known if known > 0.0 else None


def break_even_share(study: Study) -> float | None:
    """Share that must win to get back the prices paid: their mean, weighted by shares; None where one is not known."""
    known = [each for each in study.win_lose if each.won is not None and each.shares > 0.0]
    shares = math.fsum(each.shares for each in known)
    if not known or any(math.isnan(each.price_usd) for each in known):
        return None
    return math.fsum(each.shares * each.price_usd for each in known) / shares


def endings(study: Study) -> str | None:
    """Whether the bought tokens won often enough for their prices, as a sentence; None when it is not known."""
    won, needed = share_won(study), break_even_share(study)
    if won is None or needed is None:
        return None
    how = "more often than" if won > needed else "less often than" if won < needed else "exactly as often as"
    return (
        f"{share(won)} of the bought shares were of the token that won; at the prices paid {share(needed)} give the "
        f"money back before fees. The bought tokens won {how} their price said."
    )


def spread_left(study: Study) -> str | None:
    """How much of the captured spread the market left, as a sentence; None without an attribution."""
    parts = study.attribution
    if parts is None:
        return None
    digits = study_digits(study)
    realized = parts.realized.mean
    verb = "was left of it" if realized >= 0.0 else "was left: the market took back more than the spread"
    return (
        f"The fills captured {usd(parts.spread_capture.mean, digits)} of spread a period; {parts.horizon_s:g} s later "
        f"{usd(realized, digits)} {verb}."
    )


def clear_ones(rows: Iterable[Paired]) -> str:
    """Which paired differences are clear of zero, as a sentence."""
    some = list(rows)
    better = [row.name for row in some if side_of_zero(row.difference_usd) > 0]
    worse = [row.name for row in some if side_of_zero(row.difference_usd) < 0]
    told = []
    if better:
        told.append(f"Clear of zero, ours better: {', '.join(better)}.")
    if worse:
        told.append(f"Clear of zero, ours worse: {', '.join(worse)}.")
    if not told:
        told.append("No difference is clear of zero: this data cannot tell them apart.")
    if len(some) > 1:
        told.append(
            f"Of {len(some)} intervals of 95 % about {0.05 * len(some):.2g} would leave out zero by luck alone."
        )
    return " ".join(told)


def comparison_answer(study: Study) -> str | None:
    """Which of two runs is better, as a sentence; None when nothing was compared."""
    found = study.comparison
    if found is None:
        return None
    side = side_of_zero(found.difference_usd)
    if side == 0:
        answer = f"This data cannot tell A ({found.a}) from B ({found.b})."
    else:
        better = f"A ({found.a})" if side > 0 else f"B ({found.b})"
        answer = f"{better} is better, and the interval of the difference is clear of zero."
    return f"{answer} A less B: {mean_and_interval(found.difference_usd, study_digits(study))} a period."


def model_line(study: Study) -> str:
    """Queue model and latencies in a line."""
    delays = ", ".join(f"{name} {delay_ms:g} ms" for name, delay_ms in study.model.latencies_ms.items())
    return f"Queue model {study.model.queue}; latencies: {delays or 'none'}"


def reason_meaning(label: str) -> str:
    """What a reason means; empty for one that is not in the rules."""
    return _MEANING.get(label, "")


def reason_action(label: str) -> str:
    """What a reason asks for; empty for one that is not in the rules."""
    return _ACTION.get(label, "")


def technique_off(name: str) -> str:
    """What happens when a technique is off; empty for one that is not in the configuration."""
    found = Techniques.model_fields.get(name)
    return (
        "" if found is None or found.description is None else found.description.removeprefix("off: ").replace("`", "")
    )
