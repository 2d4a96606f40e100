"""The keys of a bus over TCP, as files: who this process is, whom it speaks to, and whom a server lets in.

A folder of keys holds `secret.key` (our own), `server.key` (the public key of the broker and the hedger) and, for these
two alone, `clients/<name>.key`: the public keys that are let in. A key is one line of 40 characters (Z85).
A client's file that is removed counts from that client's next connection on.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

SECRET_FILE, SERVER_FILE, CLIENTS_FOLDER = "secret.key", "server.key", "clients"
_KEY = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # 32 bytes in Z85, the text form ZeroMQ uses


class BusKeysError(ValueError):
    """Keys that cannot be used; the text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class BusKeys:
    """The keys of one process, in Z85. `clients` is the folder of those who are let in; None on a client's machine."""

    secret: bytes = field(repr=False)
    server: bytes
    clients: Path | None = None


def read_keys(folder: Path) -> BusKeys:
    """The keys in this folder. Raises BusKeysError: a file is missing, unreadable, no key, or open to everybody."""
    secret = _read_key(folder / SECRET_FILE)
    if (folder / SECRET_FILE).stat().st_mode & stat.S_IRWXO:
        raise BusKeysError(f"{folder / SECRET_FILE} is open to every user of this machine: chmod 600 it, make new keys")
    server = _read_key(folder / SERVER_FILE)
    clients = folder / CLIENTS_FOLDER
    if not clients.is_dir():
        return BusKeys(secret, server)
    try:
        for each in clients.glob("*.key"):
            _read_key(each)
    except OSError as error:
        raise BusKeysError(f"{clients}: {error.strerror}") from None
    return BusKeys(secret, server, clients)


def is_listed(key: bytes, clients: Path) -> bool:
    """Whether this public key is in a client's file. A file that cannot be read lets nobody in."""
    try:
        return any(_is_in(each, key) for each in clients.glob("*.key"))
    except OSError:
        return False


def _is_in(path: Path, key: bytes) -> bool:
    try:
        return _read_key(path) == key
    except BusKeysError:
        return False


def _read_key(path: Path) -> bytes:
    try:
        text = path.read_bytes().strip()
    except FileNotFoundError:
        raise BusKeysError(
            f"{path} is missing: `mm_bot.py --generate-keys DIR` makes keys, one folder a machine"
        ) from None
    except OSError as error:
        remedy = "it must belong to the user that runs this process (chown)"
        raise BusKeysError(f"{path} cannot be read: {error.strerror}; {remedy}") from None
    if not _KEY.fullmatch(text):
        raise BusKeysError(
            f"{path} holds no key: one line of 40 characters; `mm_bot.py --generate-keys DIR` makes keys"
        )
    return text


def write_folder(folder: Path, keys: dict[str, bytes]) -> None:
    """A new folder with these key files, readable by their owner alone. Raises FileExistsError: nothing is replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=False)
    for name, key in keys.items():
        write_key(folder / name, key)


def write_key(path: Path, key: bytes) -> None:
    """A new key file, readable by its owner alone. Raises FileExistsError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key + b"\n")
