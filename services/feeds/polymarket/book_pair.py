"""The two books of a period, kept and doubted together: CALL's bids are PUT's asks at $1 minus the price.

States: WAITING for whole books (never published, with the reason), LIVE, and SUSPECT: something does not fit, but
frames come in bursts and out of order, so it may be a moment between two frames. Nothing is published while SUSPECT;
what does not clear within the grace becomes doubt, and doubt means WAITING for a fresh snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple

from services.feeds.polymarket.book import TokenBook, mirrored, parse_snapshot, tops_mirrored
from services.feeds.polymarket.units import UNITS_PER_USD, milliseconds, price_units, size_shares, tick_units
from services.feeds.polymarket.wire import BookFrame, Leg, PriceChangeFrame, Refused, RestBook, TickSizeFrame
from shared.messages import Outcome, Side

PairState = Literal["WAITING", "LIVE", "SUSPECT"]
PairStep = Literal["complete", "suspect", "clear", "doubt"]
Comparison = Literal["equal", "moved", "behind", "older", "differs"]

STEPS: dict[tuple[PairState, PairStep], PairState] = {
    ("WAITING", "complete"): "LIVE",
    ("LIVE", "suspect"): "SUSPECT",
    ("SUSPECT", "clear"): "LIVE",
    ("WAITING", "doubt"): "WAITING",
    ("LIVE", "doubt"): "WAITING",
    ("SUSPECT", "doubt"): "WAITING",
}

OUTCOMES: tuple[Outcome, Outcome] = ("CALL", "PUT")
_SIDES: dict[str, Side] = {"BUY": "bid", "SELL": "ask"}
NS_PER_MS = 1_000_000


class IllegalStepError(RuntimeError):
    """Our own mistake: a step that the state does not allow."""


class Tolerances(NamedTuple):
    """How far the venue's clock may be from ours, and how long a contradiction may last."""

    max_ahead_s: float = 5.0
    max_behind_s: float = 60.0
    grace_s: float = 0.25
    mirror_grace_s: float = 2.0
    relapses: int = 3
    relapse_s: float = 30.0
    probation_s: float = 2.0


class _Change(NamedTuple):
    outcome: Outcome
    side: Side
    units: int
    shares: float


class BookPair:
    """Both books of one period, and whether they can be believed."""

    def __init__(
        self, *, condition_id: str, call_token: str, put_token: str, tick: int, tolerances: Tolerances
    ) -> None:
        self.condition_id = condition_id
        self.books: dict[Outcome, TokenBook] = {
            "CALL": TokenBook(call_token, tick),
            "PUT": TokenBook(put_token, tick),
        }
        self.state: PairState = "WAITING"
        self.reason = "no_snapshot"
        self.heard_ns: dict[Outcome, int] = {"CALL": 0, "PUT": 0}
        self.changed: set[Outcome] = set()
        self._outcomes: dict[str, Outcome] = {call_token: "CALL", put_token: "PUT"}
        self._tolerances = tolerances
        self._since_ns = 0
        self._unmirrored_ns: int | None = None
        self._doubted_ns: deque[int] = deque(maxlen=tolerances.relapses)
        self._clean_ns: int | None = None

    @property
    def on_probation(self) -> bool:
        """Whether both books are whole and sound again, but failed too often lately to be believed at once."""
        return self.state == "WAITING" and self._clean_ns is not None

    @property
    def tick(self) -> int:
        """Tick size of the market, in units."""
        return self.books["CALL"].tick_units

    def step(self, step: PairStep, *, reason: str, ts_ns: int) -> None:
        """Take one step of the table; raises `IllegalStepError` and changes nothing when it is not there."""
        following = STEPS.get((self.state, step))
        if following is None:
            raise IllegalStepError(f"a {self.state} pair cannot {step}")
        self.state, self.reason, self._since_ns = following, reason, ts_ns

    def doubt(self, reason: str, ts_ns: int) -> None:
        """Believe nothing until both whole books came again."""
        for book in self.books.values():
            book.doubt()
        self._unmirrored_ns = self._clean_ns = None
        if self.state != "WAITING":
            self._doubted_ns.append(ts_ns)
        # The first reason stands until the books are whole again: it is the one to look into.
        known = self.state == "WAITING" and self.reason not in ("no_snapshot", "disconnected")
        self.step("doubt", reason=self.reason if known else reason, ts_ns=ts_ns)

    def forget(self, reason: str, ts_ns: int) -> None:
        """The connection is gone, and with it everything learned on it."""
        for book in self.books.values():
            book.forget()
        self.heard_ns = {"CALL": 0, "PUT": 0}
        self.changed.clear()
        self._unmirrored_ns = self._clean_ns = None
        self.step("doubt", reason=reason, ts_ns=ts_ns)

    def on_book(self, frame: BookFrame, ts_ns: int) -> Refused | None:
        """A whole book. What is refused leaves both books in doubt."""
        outcome, ts_ms = self._outcomes[frame.asset_id], milliseconds(frame.timestamp)
        if frame.market != self.condition_id:
            return self._refuse("wrong_market", f"book of {frame.asset_id[:12]} in {frame.market[:14]}", ts_ns)
        if ts_ms is None or self._ahead(ts_ms, ts_ns):
            return self._refuse("bad_timestamp" if ts_ms is None else "clock_ahead", frame.timestamp[:20], ts_ns)
        book = self.books[outcome]
        tick = book.tick_units if frame.tick_size is None else tick_units(frame.tick_size)
        if tick is None:
            return self._refuse("bad_tick_size", str(frame.tick_size)[:20], ts_ns)
        snapshot = parse_snapshot(frame.bids, frame.asks, tick)
        if isinstance(snapshot, Refused):
            return self._refuse(snapshot.reason, snapshot.detail, ts_ns)
        self.heard_ns[outcome] = ts_ns
        if book.merge(snapshot, ts_ms):
            self.changed.add(outcome)
        if tick != self.tick and not self._regrid(tick):
            return self._refuse("off_grid", f"levels are not on the new tick {tick / UNITS_PER_USD}", ts_ns)
        self._examine(None, ts_ns)
        return None

    def on_price_change(self, frame: PriceChangeFrame, ts_ns: int) -> Refused | None:
        """Levels of one or both books. All of a frame is taken, or none and both books are in doubt."""
        ts_ms = milliseconds(frame.timestamp)
        if ts_ms is None or self._ahead(ts_ms, ts_ns):
            return self._refuse("bad_timestamp" if ts_ms is None else "clock_ahead", frame.timestamp[:20], ts_ns)
        legs = frame.price_changes
        changes = self._parse_legs(frame)
        if isinstance(changes, Refused):
            return self._refuse(changes.reason, changes.detail, ts_ns)
        if ts_ns - ts_ms * NS_PER_MS > self._tolerances.max_behind_s * 1e9:
            if any(ts_ms >= self.books[change.outcome].newest_ms for change in changes):
                return self._refuse("clock_behind", frame.timestamp[:20], ts_ns)
            return Refused("late", f"{frame.timestamp[:20]}, older than the book")
        checkable = all(ts_ms >= self.books[change.outcome].newest_ms for change in changes)
        for outcome, side, units, shares in changes:
            if self.books[outcome].put(side, units, shares, ts_ms) == "changed":
                self.changed.add(outcome)
            self.heard_ns[outcome] = ts_ns
        self._examine(legs if checkable else (), ts_ns)
        return None

    def on_tick_size(self, frame: TickSizeFrame, ts_ns: int) -> Refused | None:
        """The price grid changed: of the market, so of both books."""
        tick = tick_units(frame.new_tick_size)
        if frame.market != self.condition_id or tick is None:
            return self._refuse("bad_tick_size", f"{frame.old_tick_size[:10]} to {frame.new_tick_size[:10]}", ts_ns)
        if tick != self.tick and not self._regrid(tick):
            return self._refuse("off_grid", f"levels are not on the new tick {frame.new_tick_size}", ts_ns)
        return None

    def on_timer(self, ts_ns: int) -> None:
        """Let suspicion become doubt when its grace is over; compare the two books in full."""
        tolerances = self._tolerances
        if self.on_probation:
            self._examine(None, ts_ns)
        if self.state == "SUSPECT" and ts_ns - self._since_ns >= tolerances.grace_s * 1e9:
            self.doubt(self.reason, ts_ns)
        if self.state != "LIVE" or self._whole_mirror():
            self._unmirrored_ns = None
        elif self._unmirrored_ns is None:
            self._unmirrored_ns = ts_ns
        elif ts_ns - self._unmirrored_ns >= tolerances.mirror_grace_s * 1e9:
            self.doubt("mirror", ts_ns)

    def compare(self, outcome: Outcome, rest: RestBook, *, asked_ms: int) -> Comparison | Refused:
        """Our book against the venue's own answer. `asked_ms` is our book's newest change when it was asked for.

        `equal`: proven unchanged. `moved`: our book changed meanwhile, nothing is proven. `behind`: the answer is
        newer than all we heard. `older`: the answer is older than our book. `differs`: same time, other levels.
        """
        book, ts_ms, tick = self.books[outcome], milliseconds(rest.timestamp), tick_units(rest.tick_size)
        if rest.asset_id != book.token or rest.market != self.condition_id or ts_ms is None or tick is None:
            return Refused("malformed_rest_book", f"{rest.asset_id[:12]} {rest.timestamp[:20]} {rest.tick_size[:10]}")
        snapshot = parse_snapshot(rest.bids, rest.asks, tick)
        if isinstance(snapshot, Refused):
            return Refused(f"rest_{snapshot.reason}", snapshot.detail)
        if book.newest_ms != asked_ms or not book.seeded:
            return "moved"
        if book.equals(snapshot):
            return "equal"
        if ts_ms > book.newest_ms:
            return "behind"
        return "older" if ts_ms < book.newest_ms else "differs"

    def near_touch(self, frame: PriceChangeFrame, near_ticks: int) -> bool:
        """Whether a change is within some ticks of the best price of its side (or that side is empty now)."""
        reach = near_ticks * self.tick
        for leg in frame.price_changes:
            book, units = self.books[self._outcomes[leg.asset_id]], price_units(leg.price)
            best = book.best_bid() if leg.side == "BUY" else book.best_ask()
            if units is None or best is None or abs(best - units) <= reach:
                return True
        return False

    def _parse_legs(self, frame: PriceChangeFrame) -> list[_Change] | Refused:
        if frame.market != self.condition_id:
            return Refused("wrong_market", f"levels of another market {frame.market[:14]}")
        changes: list[_Change] = []
        for leg in frame.price_changes:
            outcome, side = self._outcomes.get(leg.asset_id), _SIDES.get(leg.side)
            units, shares = price_units(leg.price), size_shares(leg.size)
            if outcome is None:
                return Refused("wrong_asset", f"{leg.asset_id[:20]!r} is not of {frame.market[:14]}")
            if side is None:
                return Refused("bad_side", leg.side[:20])
            if units is None or not 0 < units < UNITS_PER_USD:
                return Refused("bad_price", leg.price[:40])
            if not self.books[outcome].on_grid(units):
                return Refused("off_grid", f"{leg.price[:40]} on tick {self.tick / UNITS_PER_USD}")
            if shares is None:
                return Refused("bad_size", leg.size[:40])
            changes.append(_Change(outcome, side, units, shares))
            if _contradicts_itself(leg, units, shares):
                return Refused("wrong_side", f"{leg.side} {leg.price} with best {leg.best_bid} and {leg.best_ask}")
        if len(changes) == 2 and changes[0].outcome != changes[1].outcome:
            first, second = changes
            if (
                first.side == second.side
                or first.units + second.units != UNITS_PER_USD
                or first.shares != second.shares
            ):
                return Refused("wrong_side", f"the legs are no mirror: {first[1:]} and {second[1:]}")
        return changes

    def _examine(self, legs: Sequence[Leg] | None, ts_ns: int) -> None:
        """After each frame: is anything wrong? `legs` can have their best prices checked; None after a snapshot."""
        call, put = self.books["CALL"], self.books["PUT"]
        if not (call.seeded and put.seeded):
            return
        wrong = self._contradiction(legs)
        if self.state == "WAITING":
            self._clean_ns = None if wrong is not None else self._clean_ns or ts_ns
            if self._clean_ns is not None and ts_ns - self._clean_ns >= self._probation_ns(ts_ns):
                self._clean_ns = None
                self.step("complete", reason="", ts_ns=ts_ns)
                self.changed.update(OUTCOMES)
        elif self.state == "LIVE":
            if wrong is not None:
                self.step("suspect", reason=wrong, ts_ns=ts_ns)
        elif wrong is None and (legs is None or legs or self.reason != "best_differs"):
            self.step("clear", reason="", ts_ns=ts_ns)

    def _probation_ns(self, ts_ns: int) -> float:
        """How long the books must be sound before they are believed: at once, unless doubted again and again."""
        tolerances, doubted = self._tolerances, self._doubted_ns
        often = len(doubted) == tolerances.relapses and ts_ns - doubted[0] < tolerances.relapse_s * 1e9
        return tolerances.probation_s * 1e9 if often else 0.0

    def _contradiction(self, legs: Sequence[Leg] | None) -> str | None:
        call, put = self.books["CALL"], self.books["PUT"]
        if call.crossed() or put.crossed():
            return "crossed_book"
        if not tops_mirrored(call, put):
            return "mirror"
        for leg in legs or ():
            book = self.books[self._outcomes[leg.asset_id]]
            if leg.best_bid is not None and (price_units(leg.best_bid) or None) != book.best_bid():
                return "best_differs"
            if leg.best_ask is not None and _ask_units(leg.best_ask) != book.best_ask():
                return "best_differs"
        return None

    def _whole_mirror(self) -> bool:
        call, put = self.books["CALL"], self.books["PUT"]
        return mirrored(call.levels("bid"), put.levels("ask")) and mirrored(call.levels("ask"), put.levels("bid"))

    def _regrid(self, tick: int) -> bool:
        fits = all(book.regrid(tick) for book in self.books.values())
        if fits:
            self.changed.update(OUTCOMES)
        else:
            for book in self.books.values():
                book.forget()
                book.tick_units = tick
        return fits

    def _ahead(self, ts_ms: int, ts_ns: int) -> bool:
        return ts_ms * NS_PER_MS - ts_ns > self._tolerances.max_ahead_s * 1e9

    def _refuse(self, reason: str, detail: str, ts_ns: int) -> Refused:
        self.doubt(reason, ts_ns)
        return Refused(reason, detail)


def _contradicts_itself(leg: Leg, units: int, shares: float) -> bool:
    """Whether a leg sets a level beyond the best price it names itself: a wrong side (none of 10,366 recorded legs).

    Of a removed level nothing can be said: the other side may have moved over it in the same instant.
    """
    if shares == 0.0 or leg.best_bid is None or leg.best_ask is None:
        return False
    best = price_units(leg.best_bid if leg.side == "BUY" else leg.best_ask)
    return best is not None and (units > best if leg.side == "BUY" else units < best)


def _ask_units(text: str) -> int | None:
    """The venue writes an empty ask side as 1 (and an empty bid side as 0)."""
    units = price_units(text)
    return None if units == UNITS_PER_USD else units
