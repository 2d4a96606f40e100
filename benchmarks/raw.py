"""Processes that do nothing, over raw ZeroMQ: the floor. `python -m benchmarks.raw broker|echo|count <path> [arg]`."""

from __future__ import annotations

import sys

import zmq


def broker(path: str) -> None:
    """Forward everything."""
    context = zmq.Context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for socket in (front, back):
        socket.set(zmq.RCVHWM, 0)
        socket.set(zmq.SNDHWM, 0)
    front.bind(f"ipc://{path}.in")
    back.bind(f"ipc://{path}.out")
    zmq.proxy(front, back)


def echo(path: str, size: int) -> None:
    """Answer each tick with a message of this size: what the quoter does, less the thinking."""
    context = zmq.Context()
    source, target = context.socket(zmq.SUB), context.socket(zmq.PUB)
    source.connect(f"ipc://{path}.out")
    target.connect(f"ipc://{path}.in")
    source.subscribe(b"tick")
    answer = b"echo" + b"x" * (size - 4)
    while True:
        source.poll()
        source.recv()
        target.send(answer)


def count(path: str, name: str) -> None:
    """Receive every tick and say when the last one of a run (marked `end`) came, and how many came."""
    context = zmq.Context()
    source, target = context.socket(zmq.SUB), context.socket(zmq.PUB)
    source.set(zmq.RCVHWM, 0)
    source.connect(f"ipc://{path}.out")
    target.connect(f"ipc://{path}.in")
    source.subscribe(b"tick")
    received = 0
    while True:
        frame = source.recv()
        received += 1
        if frame.endswith(b"end"):
            target.send(f"done {name} {received}".encode())
            received = 0


if __name__ == "__main__":
    role, path, *rest = sys.argv[1:]
    if role == "broker":
        broker(path)
    elif role == "echo":
        echo(path, int(rest[0]))
    else:
        count(path, rest[0])
