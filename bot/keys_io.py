"""`mm_bot.py --generate-keys DIR`: one folder for the server, one for each client, and the list of those it lets in."""

from __future__ import annotations

from typing import TextIO

from bot import exit_codes
from bot.cli import SERVER, KeysRequest
from shared.bus import new_key_pair
from shared.bus_keys_io import (
    CLIENTS_FOLDER,
    SECRET_FILE,
    SERVER_FILE,
    BusKeysError,
    read_keys,
    write_folder,
    write_key,
)


def make_keys(request: KeysRequest, *, out: TextIO, err: TextIO) -> int:
    """Make what is missing and say what goes where; returns the exit code. Nothing is replaced."""
    server = request.folder / SERVER
    listed = server / CLIENTS_FOLDER
    wanted = [path for name in request.clients for path in (request.folder / name, listed / f"{name}.key")]
    there = [str(path) for path in wanted if path.exists()]
    if there:
        print(f"mm_bot.py: {', '.join(there)}: there already, and keys are never replaced", file=err)
        return exit_codes.CONFIGURATION
    try:
        request.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not server.exists()
        if is_new:
            public, secret = new_key_pair()
            write_folder(server, {SECRET_FILE: secret, SERVER_FILE: public})
            listed.mkdir(mode=0o700)
        keys = read_keys(server)
        for name in request.clients:
            public, secret = new_key_pair()
            write_folder(request.folder / name, {SECRET_FILE: secret, SERVER_FILE: keys.server})
            write_key(listed / f"{name}.key", public)
    except BusKeysError as error:
        print(f"mm_bot.py: {error}", file=err)
        return exit_codes.CONFIGURATION
    except OSError as error:
        print(f"mm_bot.py: --generate-keys {request.folder}: {error.filename}: {error.strerror}", file=err)
        return exit_codes.CONFIGURATION
    print(_where(request, is_new=is_new), file=out)
    return exit_codes.CLEAN


def _where(request: KeysRequest, *, is_new: bool) -> str:
    """What goes where, in words."""
    folders = [(SERVER, "broker and hedger; `clients/` lists who may come in")] if is_new else []
    folders += [(name, "copy to that machine") for name in request.clients]
    lines = [f"  MM_BUS_KEYS={request.folder / name}   {use}" for name, use in folders]
    if not is_new:
        listed = ", ".join(f"{SERVER}/{CLIENTS_FOLDER}/{name}.key" for name in request.clients)
        lines.append(f"copy {listed} to the server's machine: it counts at once")
    return "\n".join(
        (
            "made, readable by their owner alone; `secret.key` is secret, give each machine only its own folder:",
            *lines,
            f"to revoke a client: delete {SERVER}/{CLIENTS_FOLDER}/<name>.key, restart broker and hedger",
        )
    )
