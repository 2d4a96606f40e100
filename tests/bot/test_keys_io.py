from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from bot import exit_codes
from bot.cli import KeysRequest
from bot.keys_io import make_keys
from shared.bus import check_server
from shared.bus_keys_io import is_listed, read_keys
from shared.settings import ServiceSettings


def make(folder: Path, *clients: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return make_keys(KeysRequest(folder, clients), out=out, err=err), out.getvalue(), err.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_machine_has_a_folder_and_the_server_lists_every_client(tmp_path: Path) -> None:
    code, said, _ = make(tmp_path / "keys", "feeds", "quoter")
    assert code == exit_codes.CLEAN
    assert sorted(files(tmp_path / "keys")) == [
        "feeds/secret.key",
        "feeds/server.key",
        "quoter/secret.key",
        "quoter/server.key",
        "server/clients/feeds.key",
        "server/clients/quoter.key",
        "server/secret.key",
        "server/server.key",
    ]
    server, feeds, quoter = (read_keys(tmp_path / "keys" / name) for name in ("server", "feeds", "quoter"))
    assert len({server.secret, feeds.secret, quoter.secret}) == 3
    assert feeds.server == quoter.server == server.server
    for name in ("server", "feeds", "quoter"):
        assert f"MM_BUS_KEYS={tmp_path / 'keys' / name}" in said
    secrets = [each.secret.decode() for each in (server, feeds, quoter)]
    assert not any(secret in said for secret in secrets)
    check_server(ServiceSettings(bus="tcp://10.0.0.1:5550", bus_keys=tmp_path / "keys" / "server").endpoints().publish)


def test_every_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make(tmp_path / "keys", "feeds")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_a_further_client_is_added_and_nothing_else_is_touched(tmp_path: Path) -> None:
    make(tmp_path / "keys", "feeds")
    before = files(tmp_path / "keys")
    code, said, _ = make(tmp_path / "keys", "spare")
    after = files(tmp_path / "keys")
    assert code == exit_codes.CLEAN
    assert {name: content for name, content in after.items() if "spare" not in name} == before
    assert is_listed(after["server/clients/spare.key"].strip(), tmp_path / "keys" / "server" / "clients")
    assert "server/clients/spare.key to the server's machine" in said


@pytest.mark.parametrize("again", [("feeds",), ("spare", "feeds")])
def test_keys_that_are_there_are_never_replaced(tmp_path: Path, again: tuple[str, ...]) -> None:
    make(tmp_path / "keys", "feeds")
    before = files(tmp_path / "keys")
    code, said, complaint = make(tmp_path / "keys", *again)
    assert (code, said) == (exit_codes.CONFIGURATION, "")
    assert "feeds: there already" in complaint.replace(f", {tmp_path}/keys/server/clients/feeds.key", "")
    assert files(tmp_path / "keys") == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, complaint = make(tmp_path / "file" / "keys", "feeds")
    assert code == exit_codes.CONFIGURATION
    assert "Not a directory" in complaint
