"""The bus: publish, subscribe, snapshot, request and reply. The only file that touches ZeroMQ.

A message travels as one frame, `<topic>\\0<envelope>`: one frame costs half of what two cost, and subscriptions match
its beginning. Publishers connect to the broker's XSUB, subscribers to its XPUB. A subscriber first subscribes, waits
until the broker confirms (a welcome message), then asks for the last value of each topic, then applies what is newer
(the "Clone" pattern of the ZeroMQ Guide). Lost messages show as gaps in the sequence numbers.

On one machine the bus is Unix sockets. Over TCP every socket speaks CURVE: encrypted, the server known by its public
key, and nobody let in whose public key is not listed (`shared/bus_keys_io.py`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Thread
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
import zmq

from shared.bus_keys_io import BusKeys, BusKeysError, is_listed
from shared.codec import RefusedMessageError, decode, encode
from shared.core import Delivery, Event, Gap
from shared.messages import SCHEMA_VERSION, AnyMessage, Envelope, topic_of
from shared.wiring import NOT_CACHED, SNAPSHOTS, TOPIC_END

_END = TOPIC_END.encode()
_WELCOME = b"_welcome" + _END
_SNAPSHOTS = tuple(f"{each.__name__}.".encode() for each in SNAPSHOTS)
_NOT_CACHED = tuple(f"{each.__name__}.".encode() for each in NOT_CACHED)
HIGH_WATER_MARK = 20_000  # messages queued for one slow peer before the bus drops, and counts, what follows
MAX_FRAME_BYTES = 1 << 20
PROBE_EACH_S, PROBES = 1, 3  # of a silent TCP connection, before it counts as dead
_DOMAIN = b"bus"  # of the authentication: one list for all sockets
_DRAIN_LIMIT = 500  # messages taken in one go, so that timers are never starved


def _context() -> zmq.Context[zmq.Socket[bytes]]:
    return zmq.Context.instance()


def close_everything() -> None:
    """Close what is still open in this process, so that nothing waits for it at the exit of the interpreter."""
    for responder in tuple(_responders):
        responder.close()
    _context().destroy(linger=200)


class Address(str):
    """Where a socket binds or connects, with the keys of this process where the way there is locked."""

    keys: BusKeys | None = None

    @classmethod
    def of(cls, url: str, keys: BusKeys | None) -> Self:
        """A URL and what it takes to speak there."""
        address = cls(url)
        address.keys = keys
        return address


class Endpoints(NamedTuple):
    """Addresses of the broker's sockets, and of services that answer requests."""

    publish: str
    subscribe: str
    snapshot: str
    hedger: str

    @classmethod
    def of(cls, bus: str, keys: BusKeys | None = None, *, is_plain_allowed: bool = False) -> Self:
        """From `ipc://<path prefix>` or `tcp://<host>:<first port>[?hedger=<host>:<port>]`; raises ValueError.

        TCP takes `keys`, unless it stays on this machine or plain TCP is allowed; Unix sockets never do. The hedger
        answers at the fourth port of the host, unless its place is named.
        """
        parts = urlsplit(bus)
        names = ("publish", "subscribe", "snapshot", "hedger")
        if parts.scheme == "ipc" and parts.netloc + parts.path:
            path = parts.netloc + parts.path
            if len(path) > 90:
                raise ValueError(
                    f"bus address {bus!r} is too long for a Unix socket: use a path of at most 90 characters"
                )
            return cls(*(Address(f"ipc://{path}.{name}") for name in names))
        places = [f"{parts.hostname}:{parts.port + offset}" for offset in range(4)] if parts.port else []
        query = parse_qs(parts.query)
        if places and "hedger" in query:
            places[3] = query.pop("hedger")[0]
        if parts.scheme != "tcp" or not places or query or parts.path or not all(map(_is_place, places)):
            raise ValueError(
                f"bus address {bus!r}: write ipc:///path/prefix or tcp://host:port, "
                f"and tcp://host:port?hedger=host:port where the hedger is elsewhere"
            )
        if keys is None and not is_plain_allowed and not all(map(_is_loopback, places)):
            raise ValueError(
                f"bus address {bus!r} leaves this machine, where anybody could read and publish: make keys with "
                f"`mm_bot.py --generate-keys DIR` and name this machine's folder in MM_BUS_KEYS "
                f"(or MM_BUS_ALLOW_PLAIN=true, on a network that nobody else is on)"
            )
        return cls(*(Address.of(f"tcp://{place}", keys) for place in places))


def _is_place(place: str) -> bool:
    host, _, port = place.rpartition(":")
    return bool(host) and ":" not in host and port.isdecimal() and 0 < int(port) < 65_536


def _is_loopback(place: str) -> bool:
    host = place.rpartition(":")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name


def new_key_pair() -> tuple[bytes, bytes]:
    """A new (public, secret) pair, in Z85."""
    public, secret = zmq.curve_keypair()
    return public, secret


def _keys_of(address: str) -> BusKeys | None:
    return address.keys if isinstance(address, Address) else None


def _notice_the_dead(socket: zmq.Socket[bytes], address: str) -> None:
    """A machine that lost power says no goodbye, and a subscriber never speaks: the kernel asks whether it is there.

    Not ZeroMQ's own heartbeats: they cut a peer whose queue is full, and libzmq 4.3.5 aborts when that one reads on.
    """
    if address.startswith("tcp://"):
        socket.set(zmq.TCP_KEEPALIVE, 1)
        socket.set(zmq.TCP_KEEPALIVE_IDLE, PROBE_EACH_S)
        socket.set(zmq.TCP_KEEPALIVE_INTVL, PROBE_EACH_S)
        socket.set(zmq.TCP_KEEPALIVE_CNT, PROBES)


def _connect(socket: zmq.Socket[bytes], address: str) -> None:
    _notice_the_dead(socket, address)
    keys = _keys_of(address)
    if keys is not None:
        socket.set(zmq.CURVE_SECRETKEY, keys.secret)
        socket.set(zmq.CURVE_PUBLICKEY, zmq.curve_public(keys.secret))
        socket.set(zmq.CURVE_SERVERKEY, keys.server)
    socket.connect(address)


def _bind(socket: zmq.Socket[bytes], address: str) -> None:
    _notice_the_dead(socket, address)
    keys = _keys_of(address)
    if keys is not None:
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, keys.secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a doorkeeper nobody is let in, instead of everybody
    socket.bind(_listening(address))


def _listening(address: str) -> str:
    """The address to bind: a name is what others call us by, and ZeroMQ binds numbers alone."""
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "tcp" or host.replace(".", "").isdecimal():
        return address
    return f"tcp://{'127.0.0.1' if host == 'localhost' else '*'}:{port}"


def _doubt(address: str) -> str:
    """What else a silence may mean."""
    return ", or it does not list our key, or `server.key` is not its own" if _keys_of(address) else ""


def check_server(address: str) -> None:
    """Raise BusKeysError when others cannot connect to us here: our keys are a client's."""
    keys = _keys_of(address)
    if keys is not None and (keys.clients is None or zmq.curve_public(keys.secret) != keys.server):
        raise BusKeysError("MM_BUS_KEYS names a client's folder: the broker and the hedger need the folder `server`")


class Doorkeeper:
    """Lets in, at the locked sockets of one context, the server itself and whoever's public key is listed.

    It reads the list at every handshake: a new file counts at once, a removed one from that peer's next connection on.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], server: bytes, clients: Path) -> None:
        from zmq.auth.thread import ThreadAuthenticator  # imported late: it brings asyncio

        self.refused = 0
        self._server = server
        self._clients = clients
        self._thread = ThreadAuthenticator(context)
        self._thread.configure_curve_callback(_DOMAIN.decode(), self)
        self._thread.start()

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether this public key may come in; called in the authenticator's thread."""
        is_welcome = key == self._server or is_listed(key, self._clients)
        self.refused += not is_welcome
        return is_welcome

    def close(self) -> None:
        """Let nobody in any more; must come before the context ends."""
        self._thread.stop()


def _doorkeeper(context: zmq.Context[zmq.Socket[bytes]], address: str) -> Doorkeeper | None:
    keys = _keys_of(address)
    return None if keys is None or keys.clients is None else Doorkeeper(context, keys.server, keys.clients)


class BusTimeoutError(TimeoutError):
    """The other side did not answer in time: the answer is unknown, not no."""


class Publisher:
    """Publishes messages with epoch and sequence numbers.

    `sent`, `dropped` (high-water mark) and `refused` (not finite) count by message class.
    """

    def __init__(self, endpoints: Endpoints, *, instance: str) -> None:
        self.instance = instance
        self.sent: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._epoch = time.time_ns() // 1_000_000
        self._seq: dict[str, int] = {}
        self._socket: zmq.Socket[bytes] = _context().socket(zmq.XPUB)
        self._socket.set(zmq.XPUB_NODROP, 1)
        self._socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.LINGER, 200)
        _connect(self._socket, endpoints.publish)
        self._doubt = _doubt(endpoints.publish)

    def wait_until_connected(self, timeout_s: float) -> None:
        """Wait until the broker takes what is published; raises BusTimeoutError."""
        if not self._socket.poll(int(timeout_s * 1000), zmq.POLLIN):
            raise BusTimeoutError(f"no broker took the connection within {timeout_s:g} s{self._doubt}")

    def new_epoch(self) -> None:
        """Begin a new unbroken run: continuity with the venue was lost."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)

    def publish(self, message: AnyMessage) -> bool:
        """Send; False when the message was refused (not finite) or dropped (nobody drains the queue)."""
        topic = topic_of(message)
        seq = self._seq.get(topic, 0) + 1
        self._seq[topic] = seq
        name = type(message).__name__
        try:
            envelope = encode(Envelope(SCHEMA_VERSION, self.instance, self._epoch, seq, time.time_ns(), message))
        except RefusedMessageError:
            self.refused[name] += 1
            return False
        try:
            self._socket.send(topic.encode() + _END + envelope, zmq.NOBLOCK)
        except zmq.Again:
            self.dropped[name] += 1
            return False
        self.sent[name] += 1
        return True

    def drain_subscriptions(self) -> None:
        """Forget the broker's subscription notices, which XPUB queues for us."""
        with contextlib.suppress(zmq.Again):
            while True:
                self._socket.recv(zmq.NOBLOCK)

    def close(self) -> None:
        """Send what is queued, then close."""
        self._socket.close()


class Continuity:
    """Follows sequence numbers topic by topic: what is new, what is lost, what came twice."""

    REPEATED = 3  # messages of an older epoch in a row that are no stragglers: its publisher's clock stepped back

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[str, int, int]] = {}
        self._older: dict[bytes, int] = {}

    def judge(self, topic: bytes, instance: str, epoch: int, seq: int, skipped: int = 0) -> tuple[bool, int | None]:
        """(is it news, messages lost before it; None when the run is unbroken, 0 when a new run began).

        `skipped` messages of the topic came just before this one and were not looked at: they are not lost.
        """
        last = self._places.get(topic)
        if last is None:
            self._places[topic] = (instance, epoch, seq)
            return True, None
        last_instance, last_epoch, last_seq = last
        if epoch == last_epoch and instance == last_instance:
            if seq <= last_seq:
                return False, None
            self._places[topic] = (instance, epoch, seq)
            return True, max(seq - last_seq - 1 - skipped, 0) or None
        if instance == last_instance and epoch < last_epoch:
            older = self._older[topic] = self._older.get(topic, 0) + 1
            if older < self.REPEATED:
                return False, None
        self._older.pop(topic, None)
        self._places[topic] = (instance, epoch, seq)
        return True, max(seq - last_seq - 1 - skipped, 0) if instance == last_instance else 0


_decode_prefixes = msgspec.json.Decoder(list[str]).decode


class Subscriber:
    """Receives the messages of some topic prefixes as events, with gaps named.

    `received`, `lost` and `superseded` count by message class, `refused` by reason, `duplicates` in all. With
    `latest_only`, a snapshot (`SNAPSHOTS`) that a newer one of the same topic already waits behind is counted and
    checked for gaps, but not delivered: whoever quotes must not work through a queue of books that no longer stand.
    """

    def __init__(self, endpoints: Endpoints, prefixes: Iterable[str], *, latest_only: bool = False) -> None:
        self.received: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.superseded: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.duplicates = 0
        self.last_refusal = ""
        self._continuity = Continuity()
        self._latest_only = latest_only
        self._prefixes = tuple(prefixes)
        self._endpoints = endpoints
        self._socket: zmq.Socket[bytes] = _context().socket(zmq.SUB)
        self._socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.set(zmq.LINGER, 0)
        _connect(self._socket, endpoints.subscribe)
        for each in self._prefixes:
            self._socket.subscribe(each)
        self._socket.subscribe(_WELCOME)
        self._pending: list[bytes] = []

    def join(self, timeout_s: float) -> list[Event]:
        """Wait until the broker serves our subscriptions, then return the last values. Raises BusTimeoutError."""
        deadline = time.monotonic() + timeout_s
        while self._socket.poll(max(int((deadline - time.monotonic()) * 1000), 0)):
            frame = self._socket.recv()
            if frame == _WELCOME:
                return self._snapshot(deadline)
            self._pending.append(frame)
        raise BusTimeoutError(f"no broker answered within {timeout_s:g} s{_doubt(self._endpoints.subscribe)}")

    def _snapshot(self, deadline: float) -> list[Event]:
        with _context().socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            _connect(socket, self._endpoints.snapshot)
            socket.send(msgspec.json.encode(self._prefixes))
            if not socket.poll(max(int((deadline - time.monotonic()) * 1000), 1)):
                raise BusTimeoutError("the broker answered no snapshot request")
            frames = socket.recv_multipart()
        return [event for frame in frames if frame for event in self._events_of([frame])]

    def receive(self, timeout_ms: int) -> list[Event]:
        """Wait for messages at most this long; return what is there, oldest first."""
        frames, self._pending = self._pending, []
        if not frames:
            # A receive with a time limit costs less than a poll and a receive.
            self._socket.set(zmq.RCVTIMEO, timeout_ms)
            try:
                frames.append(self._socket.recv())
            except zmq.Again:
                return []
        while len(frames) < _DRAIN_LIMIT:
            # Asking first is an eighth of the cost of a receive that raises Again, and it is on the way to every quote.
            if not int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN:
                break
            frames.append(self._socket.recv(zmq.NOBLOCK))
        if len(frames) == 1 and frames[0] != _WELCOME:
            return list(self._events_of(frames))
        groups = self._by_topic(frames) if self._latest_only else [[frame] for frame in frames]
        return [
            event for group in groups for event in (self._heal() if group == [_WELCOME] else self._events_of(group))
        ]

    def _by_topic(self, frames: list[bytes]) -> list[list[bytes]]:
        """Each frame alone, but snapshots of one topic together, in the place of the last."""
        groups: list[list[bytes]] = []
        places: dict[bytes, int] = {}
        for frame in frames:
            topic = frame.partition(_END)[0]
            if not topic.startswith(_SNAPSHOTS):
                groups.append([frame])
                continue
            before = places.get(topic)
            places[topic] = len(groups)
            if before is None:
                groups.append([frame])
            else:
                group, groups[before] = groups[before], []
                group.append(frame)
                groups.append(group)
        return [group for group in groups if group]

    def _heal(self) -> list[Event]:
        try:
            return self._snapshot(time.monotonic() + 1.0)
        except BusTimeoutError:
            self.refused["snapshot_timeout"] += 1
            return []

    def _events_of(self, frames: list[bytes]) -> Sequence[Event]:
        """The events of one topic's frames: the last good one is delivered, those before it are superseded."""
        for place in range(len(frames) - 1, -1, -1):
            topic_bytes, end, encoded = frames[place].partition(_END)
            try:
                if not end:
                    raise RefusedMessageError("malformed", "no topic")
                envelope = decode(encoded)
                topic = topic_of(envelope.body)
                if topic_bytes != topic.encode():
                    raise RefusedMessageError("malformed", f"topic {topic_bytes[:80]!r} carries {topic}")
            except RefusedMessageError as error:
                self.refused[error.reason] += 1
                self.last_refusal = str(error)
                continue
            return self._admit(topic_bytes, topic, envelope, place)
        return ()

    def _admit(self, topic_bytes: bytes, topic: str, envelope: Envelope, skipped: int) -> Sequence[Event]:
        name = type(envelope.body).__name__
        is_news, lost = self._continuity.judge(topic_bytes, envelope.instance, envelope.epoch, envelope.seq, skipped)
        if not is_news:
            self.duplicates += 1 + skipped
            return ()
        self.received[name] += 1
        if skipped:
            self.superseded[name] += skipped
        delivery = Delivery(topic, envelope.epoch, envelope.seq, envelope.body, envelope.ts_pub_ns)
        if lost is None:
            return (delivery,)
        self.lost[name] += lost
        return Gap(topic, lost, envelope.body.ts_recv_ns), delivery

    def close(self) -> None:
        """Close at once."""
        self._socket.close()


class Broker:
    """Forwards everything from publishers to subscribers in C, and keeps the last value of each topic beside it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.topics: dict[bytes, bytes] = {}
        self.forwarded = 0
        self.snapshots = 0
        check_server(endpoints.publish)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._doorkeeper = _doorkeeper(self._context, endpoints.publish)
        front = self._context.socket(zmq.XSUB)
        back = self._context.socket(zmq.XPUB)
        for socket in (front, back):
            socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
            socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
            socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
            socket.set(zmq.LINGER, 0)
        back.set(zmq.XPUB_WELCOME_MSG, _WELCOME)
        _bind(front, endpoints.publish)
        _bind(back, endpoints.subscribe)
        back.bind("inproc://cache")
        self._sockets = (front, back)
        self._cache = self._context.socket(zmq.SUB)
        self._cache.set(zmq.RCVHWM, HIGH_WATER_MARK)
        self._cache.set(zmq.LINGER, 0)
        self._cache.connect("inproc://cache")
        self._cache.subscribe(b"")
        self._answers = self._context.socket(zmq.ROUTER)
        self._answers.set(zmq.LINGER, 0)
        self._answers.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        _bind(self._answers, endpoints.snapshot)
        self._proxy = Thread(target=self._forward, name="proxy", daemon=True)
        self._proxy.start()

    @property
    def refused_keys(self) -> int:
        """Connections that were refused because their key is not listed."""
        return 0 if self._doorkeeper is None else self._doorkeeper.refused

    def _forward(self) -> None:
        front, back = self._sockets
        with contextlib.suppress(zmq.ContextTerminated), front, back:
            zmq.proxy(front, back)

    def serve(self, timeout_ms: int) -> None:
        """Answer snapshot requests for at most about this long, then take what was forwarded into the cache.

        The cache is read in batches, not message by message: waking this thread for each would take the core from the
        process that the message is for. What is asked for is always taken first, so a snapshot is never old.
        """
        if self._answers.poll(timeout_ms):
            self._take()
            self._answer()
        else:
            self._take()

    def _take(self) -> None:
        for _ in range(HIGH_WATER_MARK):
            try:
                frame = self._cache.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.forwarded += 1
            if not frame.startswith(_NOT_CACHED) and frame != _WELCOME:
                self.topics[frame.partition(_END)[0]] = frame

    def _answer(self) -> None:
        request = self._answers.recv_multipart()
        try:
            prefixes = tuple(each.encode() for each in _decode_prefixes(request[-1]))
        except (ValueError, RecursionError):  # garbage is answered with nothing
            prefixes = ()
        frames = [frame for frame in self.topics.values() if frame.startswith(prefixes)] if prefixes else []
        self._answers.send_multipart([request[0], *(frames or [b""])])
        self.snapshots += 1

    def forget(self, is_dead: Callable[[bytes], bool]) -> None:
        """Drop cached topics whose last frame is dead, so that the cache stays as small as what is alive."""
        for topic in [topic for topic, frame in self.topics.items() if is_dead(frame)]:
            del self.topics[topic]

    def close(self) -> None:
        """Stop forwarding and close."""
        self._cache.close()
        self._answers.close()
        if self._doorkeeper is not None:
            self._doorkeeper.close()
        self._context.term()
        self._proxy.join()


class Responder:
    """Answers requests of a service over ROUTER: JSON-like MessagePack maps in, maps out."""

    def __init__(self, address: str) -> None:
        check_server(address)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()  # its own: a doorkeeper guards a whole context
        self._doorkeeper = _doorkeeper(self._context, address)
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 200)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        _bind(self._socket, address)
        _responders.add(self)

    def serve(self, answer: Callable[[bytes], bytes]) -> int:
        """Answer all waiting requests; returns how many."""
        served = 0
        while self._socket.poll(0):
            identity, *_, request = self._socket.recv_multipart()
            with contextlib.suppress(zmq.Again):
                self._socket.send_multipart([identity, answer(request)], zmq.NOBLOCK)
            served += 1
        return served

    def serve_together(self, answer_all: Callable[[list[bytes]], list[bytes]], *, wait_ms: int = 0) -> int:
        """Answer the requests that wait, all in one call, so that one commit can serve them all; returns how many.

        Waits this long for the first.
        """
        senders: list[bytes] = []
        questions: list[bytes] = []
        while len(questions) < _DRAIN_LIMIT and self._socket.poll(0 if questions else wait_ms):
            sender, *_, question = self._socket.recv_multipart()
            senders.append(sender)
            questions.append(question)
        if questions:
            for sender, reply in zip(senders, answer_all(questions), strict=True):
                with contextlib.suppress(zmq.Again):
                    self._socket.send_multipart([sender, reply], zmq.NOBLOCK)
        return len(questions)

    def close(self) -> None:
        """Close after sending what is queued."""
        _responders.discard(self)
        self._socket.close()
        if self._doorkeeper is not None:
            self._doorkeeper.close()
        self._context.term()


_responders: set[Responder] = set()


def request(address: str, question: bytes, *, timeout_s: float, tries: int = 3) -> bytes:
    """Ask a `Responder`; retries on silence with a fresh socket. Raises BusTimeoutError: unknown, not no."""
    for _ in range(tries):
        with _context().socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            _connect(socket, address)
            socket.send(question)
            if socket.poll(int(timeout_s * 1000 / tries)):
                return socket.recv_multipart()[-1]
    raise BusTimeoutError(f"{address} did not answer within {timeout_s:g} s{_doubt(address)}")
