"""Close, hedge with the opposite outcome, merge or hold: the analyzer in a few lines. `python -m examples.hedge`"""

from __future__ import annotations

from services.hedger.hedge import HedgeAnalyzer
from services.hedger.hedge_inputs import Fees, HedgeBook, HedgePosition, HedgePrices


def main() -> None:
    """Print what each way out of 100 CALL is worth, and the best."""
    analyzer = HedgeAnalyzer(gamma_per_usd=0.01, fees=Fees(rate=0.07, exponent=1.0, rebate_rate=0.2))
    report = analyzer.analyze(
        HedgePosition(call_shares=100.0, call_average_price=0.52),
        HedgePrices(
            fair=0.56,
            fair_low=0.54,
            fair_high=0.58,
            time_left_s=600.0,
            call=HedgeBook(outcome="CALL", bids=((0.55, 30), (0.54, 60), (0.52, 100)), asks=((0.57, 50),)),
            put=HedgeBook(outcome="PUT", bids=((0.43, 50),), asks=((0.44, 20), (0.45, 30), (0.46, 60))),
        ),
    )
    for each in report.alternatives:
        if each.certainty_equivalent_usd is not None:
            print(f"{each.name:24} {each.certainty_equivalent_usd:+8.2f}  {each.what()}")
    print(report.recommendation.sentence)
    print(report.parity.text)


if __name__ == "__main__":
    main()
