"""Message <-> MessagePack bytes. Refuses what the bus must never carry.

Refused, each with a reason that is a metric label: bytes that are not an envelope (`malformed`), another schema
version (`version`), and NaN or infinity anywhere (`not_finite`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args, get_type_hints

import msgspec

from shared.messages import SCHEMA_VERSION, AnyMessage, Envelope, Layer, OpenOrder

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_any_decoder = msgspec.msgpack.Decoder()

_TIME_LIMIT_NS = 1 << 62  # the year 2116; kernels count nanoseconds in 64 bits
_OTHER_VERSION = f"schema version {{}}, this engine speaks {SCHEMA_VERSION}"


class RefusedMessageError(ValueError):
    """A message the codec will not pass on. `reason` is `malformed`, `version` or `not_finite`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def encode(envelope: Envelope) -> bytes:
    """The bytes of an envelope. Raises `RefusedMessageError` when a number in it is not finite."""
    _refuse_not_finite(envelope.body)
    try:
        return _encoder.encode(envelope)
    except OverflowError as error:
        raise RefusedMessageError("malformed", str(error)) from error


def decode(encoded: bytes) -> Envelope:
    """The envelope in these bytes. Raises `RefusedMessageError`."""
    try:
        envelope = _decoder.decode(encoded)
    except (ValueError, RecursionError) as error:  # msgspec's own errors, and invalid UTF-8, are ValueErrors
        version = _version_of(encoded)
        if version is not None and version != SCHEMA_VERSION:
            raise RefusedMessageError("version", _OTHER_VERSION.format(version)) from error
        raise RefusedMessageError("malformed", str(error)) from error
    if envelope.version != SCHEMA_VERSION:
        raise RefusedMessageError("version", _OTHER_VERSION.format(envelope.version))
    body = envelope.body
    if not (0 <= body.ts_recv_ns < _TIME_LIMIT_NS and -_TIME_LIMIT_NS < body.ts_event_ns < _TIME_LIMIT_NS):
        raise RefusedMessageError("malformed", f"times {body.ts_event_ns}, {body.ts_recv_ns} are no times")
    _refuse_not_finite(envelope.body)
    return envelope


def _version_of(encoded: bytes) -> int | None:
    try:
        decoded = _any_decoder.decode(encoded)
    except (ValueError, RecursionError):
        return None
    if isinstance(decoded, list) and decoded and isinstance(decoded[0], int):
        return decoded[0]
    return None


def _refuse_not_finite(message: AnyMessage) -> None:
    if math.isfinite(_SUMS[type(message)](message)):
        return
    path = _path_to_not_finite(msgspec.to_builtins(message), type(message).__name__)
    if path is not None:  # None: every number is finite, only their sum is not
        raise RefusedMessageError("not_finite", f"{path} is NaN or infinite")


def _sum_of_layer(layer: Layer) -> float:
    return layer.price + layer.size + layer.execution_price


def _sum_of_order(order: OpenOrder) -> float:
    return order.price + order.left + (order.ahead or 0.0)


_SUMS_OF_PARTS: dict[Any, Callable[[Any], float]] = {
    tuple[Layer, ...]: _sum_of_layer,
    tuple[OpenOrder, ...]: _sum_of_order,
}


def _sum_of(kind: type[Any]) -> Callable[[Any], float]:
    """A function that adds up every number of a message: finite unless one of them is not, or they are absurd."""
    hints = get_type_hints(kind)
    numbers = [name for name, hint in hints.items() if hint is float]
    optional = [name for name, hint in hints.items() if float in get_args(hint) and type(None) in get_args(hint)]
    tuples = [attrgetter(name) for name, hint in hints.items() if hint == tuple[float, ...]]
    mappings = [attrgetter(name) for name, hint in hints.items() if hint == dict[str, float]]
    parts = [
        (attrgetter(name), sum_of_part)
        for name, hint in hints.items()
        for sum_of_part in (_SUMS_OF_PARTS.get(hint),)
        if sum_of_part is not None
    ]
    # Two integers keep the getters returning a tuple however few names there are.
    plain = attrgetter(*numbers, "ts_recv_ns", "ts_event_ns")
    maybe = attrgetter(*optional, "ts_recv_ns", "ts_event_ns")

    def add_up(message: Any) -> float:
        total: float = sum(plain(message))
        for get in tuples:
            total += sum(get(message))
        if optional:
            total += sum(filter(None, maybe(message)))
        for get in mappings:
            total += sum(get(message).values())
        for get, sum_of_part in parts:
            total += sum(map(sum_of_part, get(message)))
        return total

    return add_up


_SUMS: dict[type, Callable[[Any], float]] = {kind: _sum_of(kind) for kind in get_args(AnyMessage)}


def _path_to_not_finite(node: Any, path: str) -> str | None:
    if isinstance(node, float):
        return None if math.isfinite(node) else path
    if isinstance(node, list | tuple):
        children = ((f"{path}[{index}]", child) for index, child in enumerate(node))
    elif isinstance(node, dict):
        children = ((f"{path}[{key!r}]", child) for key, child in node.items())
    else:
        return None
    for child_path, child in children:
        found = _path_to_not_finite(child, child_path)
        if found is not None:
            return found
    return None
