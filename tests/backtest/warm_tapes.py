"""The invented market of `backtest.warm` as messages and tapes, played once for all tests that run over it."""

from __future__ import annotations

from functools import cache

from backtest import warm
from backtest.tape import Tape, tapes_of
from shared.config import load_config
from shared.messages import AnyMessage, Fill, OutcomeTrade

MARKET = "btc-5m"


@cache
def heard() -> tuple[AnyMessage, ...]:
    """What is received in a whole period and the beginning of the next, without fills of ours."""
    return tuple(each for step in range(3400) for each in warm.moment(step) if not isinstance(each, Fill))


@cache
def warm_tapes() -> tuple[Tape, ...]:
    """The tapes of both periods under the default configuration; CALL won."""
    slugs = {each.slug for each in heard() if isinstance(each, OutcomeTrade)}
    return tuple(tapes_of(heard(), load_config(), [MARKET], dict.fromkeys(slugs, "CALL")))
