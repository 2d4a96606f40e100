"""Venue protocols without sockets, in front of a session of cores: their acts are carried out as a live feed does.

The replay tells them what was recorded, the system tests what the simulator says. What a protocol wants of its venue
(`Send`, `Fetch`, `Reconnect`) goes to `outward`, because only its driver knows a venue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backtest.session import Session
from services.feeds.freshness import Freshness, expected_streams
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.feeds.protocol import Act, Drop, Fetch, Publish, Reconnect, Send, Status, VenueProtocol
from shared.core import Delivery, Event
from shared.market import Series
from shared.messages import AnyMessage
from shared.wiring import PART, subscriptions

Outward = Callable[[str, Send | Fetch | Reconnect, int], None]
Dropped = Callable[[str, Drop], None]


class Venues:
    """The feeds of one session: a protocol and a freshness each. `dropped` hears of whatever was refused."""

    def __init__(
        self,
        session: Session,
        series: Sequence[Series],
        *,
        dropped: Dropped,
        outward: Outward = lambda _venue, _act, _ts_ns: None,
    ) -> None:
        self.protocols: dict[str, VenueProtocol] = {}
        self.freshness: dict[str, Freshness] = {}
        self._session = session
        self._series = series
        self._dropped = dropped
        self._outward = outward

    def add(self, protocol: VenueProtocol) -> None:
        """One more venue. The market feed hears the oracle as its process does: on the bus."""
        self.protocols[protocol.venue] = protocol
        self.freshness[protocol.venue] = Freshness(
            protocol.venue, expected=expected_streams(protocol.venue, self._series)
        )
        if isinstance(protocol, MarketChannelProtocol):
            ear = _OracleEar(self, protocol)
            self._session.add(protocol.venue, ear, subscriptions(PART["polymarket"], self._series))

    def open(self, venue: str, ts_ns: int) -> None:
        """The socket is open."""
        self._report(self.freshness[venue].on_open(ts_ns))
        self.apply(venue, self.protocols[venue].on_open(ts_ns), ts_ns)

    def close(self, venue: str, ts_ns: int, reason: str) -> None:
        """The socket closed, for this reason."""
        self.apply(venue, self.protocols[venue].on_close(ts_ns), ts_ns)
        self._report(self.freshness[venue].on_close(ts_ns, reason))

    def frame(self, venue: str, frame: str | bytes, ts_ns: int) -> None:
        """One frame arrived."""
        self.apply(venue, self.protocols[venue].on_frame(frame, ts_ns), ts_ns)

    def response(self, venue: str, request: str, status: int, body: bytes, ts_ns: int) -> None:
        """A request was answered."""
        self.apply(venue, self.protocols[venue].on_response(request, status, body, ts_ns), ts_ns)

    def timer(self, ts_ns: int) -> None:
        """Time passed, for every venue."""
        for venue, protocol in self.protocols.items():
            freshness = self.freshness[venue]
            self.apply(venue, protocol.on_timer(ts_ns), ts_ns)
            self._report(freshness.on_timer(ts_ns))
            reason = freshness.overdue(ts_ns)
            if reason is not None:
                self._outward(venue, Reconnect(reason), ts_ns)

    def apply(self, venue: str, acts: Sequence[Act], ts_ns: int) -> None:
        """Carry out what a protocol decided."""
        freshness = self.freshness[venue]
        for act in acts:
            match act:
                case Publish(message):
                    self._session.publish(message)
                    self._report(freshness.on_message(message, ts_ns))
                case Status():
                    self._report(freshness.on_status(act, ts_ns))
                case Drop():
                    self._dropped(venue, act)
                case _:
                    self._outward(venue, act, ts_ns)

    def _report(self, statuses: Sequence[AnyMessage]) -> None:
        for status in statuses:
            self._session.publish(status)


class _OracleEar:
    """A core that only listens: oracle messages for the market feed."""

    def __init__(self, venues: Venues, protocol: MarketChannelProtocol) -> None:
        self._venues = venues
        self._protocol = protocol

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Pass it on."""
        if isinstance(event, Delivery):
            message = event.message
            self._venues.freshness[self._protocol.venue].on_reference(message, message.ts_recv_ns)
            self._venues.apply(self._protocol.venue, self._protocol.on_message(message), message.ts_recv_ns)
        return ()
