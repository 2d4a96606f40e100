"""A book that cannot be true is refused whole, with its reason; the others keep every level."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from backtest.importers.columns import (
    Books,
    BookSide,
    Names,
    book_rows,
    chosen_slugs,
    fine_from,
    joined,
    outages_of,
    refuse,
    top_side,
)
from shared.market import NS_PER_S

START_NS = 1_790_586_000 * NS_PER_S
SLUG = "btc-updown-15m-1790586000"

Side = list[tuple[float, float]]


def _books(*shown: tuple[float, Side, Side]) -> Books:
    at_ns = np.array([START_NS + round(at_s * NS_PER_S) for at_s, _, _ in shown], np.int64)
    return Books(at_ns, at_ns, _side([bids for _, bids, _ in shown]), _side([asks for _, _, asks in shown]))


def _side(books: list[Side]) -> BookSide:
    levels = [level for book in books for level in book]
    return BookSide(
        np.array([len(book) for book in books], np.int64),
        np.array([price for price, _ in levels], np.float64),
        np.array([shares for _, shares in levels], np.float64),
    )


GOOD: tuple[Side, Side] = ([(0.49, 10.0), (0.48, 20.0)], [(0.51, 30.0)])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((5.0, [(0.52, 1.0)], [(0.51, 1.0)]), "crossed_book"),
        ((5.0, [(0.51, 1.0)], [(0.51, 1.0)]), "crossed_book"),
        ((5.0, [(49.0, 1.0)], [(51.0, 1.0)]), "price_outside_0_1"),
        ((5.0, [(float("nan"), 1.0)], []), "price_outside_0_1"),
        ((5.0, [(0.4905, 1.0)], [(0.51, 1.0)]), "off_grid_price"),
        ((5.0, [(0.49, 0.0)], [(0.51, 1.0)]), "size_not_positive"),
        ((5.0, [(0.48, 1.0), (0.49, 1.0)], [(0.51, 1.0)]), "levels_not_best_first"),
        ((5.0, [(0.48, 1.0)], [(0.52, 1.0), (0.51, 1.0)]), "levels_not_best_first"),
        ((0.5, *GOOD), "unordered_row"),
        ((-1_700_000_000.0, *GOOD), "not_near_its_period"),
    ],
)
def test_what_cannot_be_true_is_refused_and_counted(bad: tuple[float, Side, Side], reason: str) -> None:
    drops: Counter[str] = Counter()
    kept = refuse(_books((1.0, *GOOD), bad, (9.0, *GOOD)), SLUG, drops)
    assert drops == {reason: 1}
    assert ((kept.recv_ns - START_NS) // NS_PER_S).tolist() == [1, 9]
    assert kept.bids.prices.tolist() == [0.49, 0.48] * 2
    assert kept.asks.shares.tolist() == [30.0] * 2


def test_an_empty_side_is_a_book_and_no_books_are_none() -> None:
    drops: Counter[str] = Counter()
    assert len(refuse(_books((1.0, [], [(0.99, 5.0)]), (2.0, [], [])), SLUG, drops).recv_ns) == 2
    assert len(refuse(_books(), SLUG, drops).recv_ns) == 0
    assert not drops


def test_levels_are_whole_ticks_bids_before_asks_on_the_grid_of_the_instant() -> None:
    books = _books((1.0, *GOOD), (2.0, [(0.965, 7.0)], [(0.97, 8.0), (0.98, 9.0)]), (3.0, [], [(0.99, 1.0)]))
    fine_ns = fine_from([books])
    assert fine_ns == START_NS + 2 * NS_PER_S
    rows, levels = book_rows(books, slug=4, outcome=1, fine_from_ns=fine_ns)
    assert rows["tick_size"].tolist() == [0.01, 0.001, 0.001]
    assert levels["ticks"].tolist() == [49, 48, 51, 965, 970, 980, 990]
    assert levels["shares"].tolist() == [10.0, 20.0, 30.0, 7.0, 8.0, 9.0, 1.0]
    assert rows["first"].tolist() == [0, 3, 6]
    assert list(zip(rows["bids"].tolist(), rows["asks"].tolist(), strict=True)) == [(2, 1), (1, 2), (0, 1)]
    assert set(rows["slug"].tolist()) == {4}
    assert set(rows["outcome"].tolist()) == {1}


def test_joined_books_are_in_order_of_receipt_and_keep_their_own_levels() -> None:
    never = 2**62
    call = book_rows(_books((1.0, *GOOD), (3.0, *GOOD)), slug=0, outcome=0, fine_from_ns=never)
    put = book_rows(_books((1.0, [(0.3, 1.0)], []), (2.0, [(0.2, 1.0)], [])), slug=0, outcome=1, fine_from_ns=never)
    rows, levels = joined([call, put])
    assert rows["outcome"].tolist() == [0, 1, 1, 0]
    assert levels["ticks"][rows["first"]].tolist() == [49, 30, 20, 49]
    assert len(joined([]).books) == 0


def test_only_silences_while_the_period_runs_are_outages_and_they_begin_after_the_patience() -> None:
    names, drops = Names(), Counter[str]()
    shown = [(at_s, *GOOD) for at_s in (-100.0, -1.0, 1.0, 2.0, 20.0, 21.0, 890.0, 930.0)]
    outages = outages_of(_books(*shown), SLUG, "CALL", silence_s=5, names=names, drops=drops)
    spans = [((row["start_ns"] - START_NS) // NS_PER_S, (row["end_ns"] - START_NS) // NS_PER_S) for row in outages]
    assert spans == [(7, 20), (26, 890)]
    assert drops == {"gap_over_5_s": 2}
    assert [names.all[outages[0][field]] for field in ("venue", "channel", "subject")] == [
        "polymarket",
        "OutcomeBook",
        "btc-15m.CALL",
    ]


def test_a_best_price_of_zero_or_one_is_an_empty_side() -> None:
    side = top_side(np.array([0.0, 0.4]), shares=100.0, absent=0.0)
    assert side.counts.tolist() == [0, 1]
    assert side.best(absent=0.0).tolist() == [0.0, 0.4]
    assert side.shares.tolist() == [100.0]


def test_periods_are_chosen_by_slug_or_series_and_an_unknown_one_is_refused() -> None:
    slugs = [SLUG, "btc-updown-5m-1790586000"]
    assert chosen_slugs(slugs, ()) == slugs
    assert chosen_slugs(slugs, [SLUG]) == [SLUG]
    assert chosen_slugs(slugs, ["btc-5m"]) == slugs[1:]
    with pytest.raises(ValueError, match="eth-5m"):
        chosen_slugs(slugs, ["btc-5m", "eth-5m"])
