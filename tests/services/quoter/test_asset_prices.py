"""A jump is one exchange's move against itself within a second, and nothing else."""

from __future__ import annotations

import pytest

from services.quoter.asset_prices import AssetPrices
from shared.config import MMConfig, Techniques
from shared.messages import SpotQuote
from shared.projection import Config
from tests.builders import build
from tests.services.quoter.scene import SECOND, START, Scene, moneyness

CALM = MMConfig(max_model_mid_disagreement=0.9)


def quote(at_s: float, mid: float, venue: str = "bybit") -> SpotQuote:
    at_ns = START + round(at_s * SECOND)
    return build(SpotQuote, ts_event_ns=at_ns, ts_recv_ns=at_ns, venue=venue, bid=mid - 0.5, ask=mid + 0.5)


def prices(config: MMConfig = CALM) -> AssetPrices:
    return AssetPrices("BTC", config, Config())


def spikes(told: list[SpotQuote], config: MMConfig = CALM) -> bool:
    asset = prices(config)
    for each in told:
        asset.take_quote(each, each.ts_recv_ns)
    return asset.spike_until_ns > 0


def test_a_jump_within_a_second_is_a_spike() -> None:
    assert spikes([quote(0.0, 60_000.0), quote(0.9, 60_000.0), quote(1.2, 60_130.0)])
    assert not spikes([quote(0.0, 60_000.0), quote(0.9, 60_000.0), quote(1.2, 60_110.0)])


def test_a_first_quote_is_not_a_spike() -> None:
    assert not spikes([quote(0.0, 60_000.0)])
    assert not spikes([quote(0.0, 60_000.0), quote(0.4, 61_000.0)])  # not yet a second to compare with


@pytest.mark.parametrize("basis", [25.0, 500.0])
def test_the_basis_between_two_exchanges_is_not_a_spike(basis: float) -> None:
    told = [
        each
        for step in range(40)
        for each in (quote(0.1 * step, 60_000.0 + basis, "bybit"), quote(0.1 * step + 0.05, 60_000.0, "coinbase"))
    ]
    assert not spikes(told)


def test_a_return_to_life_at_another_price_is_not_a_spike() -> None:
    assert not spikes([quote(0.0, 60_000.0), quote(1.0, 60_000.0), quote(7.0, 60_500.0)])


def test_without_the_technique_nothing_is_a_spike() -> None:
    jump = [quote(0.0, 60_000.0), quote(1.2, 61_000.0)]
    assert spikes(jump)
    assert not spikes(jump, MMConfig(techniques=Techniques(volatility=False)))


def test_switching_to_an_exchange_with_another_basis_does_not_pull_for_a_spike() -> None:
    scene = Scene(CALM)
    scene.say(scene.status("BTC", "coinbase", "SpotQuote", state="DOWN"))
    scene.silent = {"SpotQuote.BTC.coinbase", "FeedStatus.BTC.coinbase.SpotQuote"}
    seen = {reason for quotes in scene.published for reason in quotes.reasons}
    scene.run(8.0)
    seen |= {reason for quotes in scene.published for reason in quotes.reasons}
    scene.silent.clear()
    scene.spot = moneyness(12.0)  # while nobody looked
    scene.run(1.0)
    seen |= {reason for quotes in scene.published for reason in quotes.reasons}
    assert "leader_unusable" in seen
    assert "volatility_spike" not in seen
