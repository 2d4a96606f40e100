"""One call on numbers of your own: `.venv/bin/python -m examples.one_call`."""

from __future__ import annotations

from mm_engine import AdvancedMarketMaker, MarketState, MMConfig, OptionBook, OracleTick, SpotTop

PERIOD_START_S = 1_791_241_200  # of btc-15m, Unix seconds
SECOND = 1_000_000_000  # stamps are nanoseconds


def main() -> None:
    """Ask once, then hold 100 CALL and ask again."""
    now_ns = (PERIOD_START_S + 400) * SECOND
    state = MarketState(
        market="btc-15m",
        now_ns=now_ns,
        period_start_s=PERIOD_START_S,
        strike=80_000.0,
        oracle=OracleTick(price=80_090.0, stamp_ns=now_ns - SECOND),
        spot={
            "bybit": SpotTop(bid=80_089.0, ask=80_089.1, stamp_ns=now_ns - SECOND // 10),
            "coinbase": SpotTop(bid=80_091.0, ask=80_091.5, stamp_ns=now_ns - SECOND // 5),
        },
        call=OptionBook(bids=((0.71, 40.0), (0.70, 200.0)), asks=((0.73, 60.0),), stamp_ns=now_ns - SECOND),
        put=OptionBook(bids=((0.27, 60.0),), asks=((0.29, 40.0), (0.30, 200.0)), stamp_ns=now_ns - SECOND),
    )
    mm = AdvancedMarketMaker(MMConfig(base_spread=0.02))
    for positions in ({}, {"CALL": 100.0}):
        for outcome, quotes in mm.generate_all_quotes(state, positions=positions).items():
            for quote in quotes:
                print(f"{outcome} {quote.side} {quote.size:g} at {quote.price:.2f} ({quote.execution})")
        print(mm.explain(), end="\n\n")


if __name__ == "__main__":
    main()
