"""The same world from the same instant: the same quotes, bit for bit."""

from __future__ import annotations

from tests.system.virtual import Virtual


def lived(seed: int, seconds: float) -> Virtual:
    """Some trouble, a rollover, and quotes before and after it."""
    system = Virtual("btc-2m", start_s=80.0, seed=seed, sigma_scale=0.5, book_rate=0.1, quote_rate=0.1)
    system.run(10.0)
    system.start_fault("garbage", duration_s=5.0)
    system.run(seconds - 10.0)
    return system


def test_the_same_seed_and_start_give_the_same_quote_sets() -> None:
    first, second = lived(3, 60.0), lived(3, 60.0)
    assert sum(bool(quotes.call) for quotes in first.journal) > 50
    assert first.journal == second.journal
    assert first.drops == second.drops


def test_another_seed_gives_other_quote_sets() -> None:
    assert lived(3, 10.0).journal != lived(4, 10.0).journal
