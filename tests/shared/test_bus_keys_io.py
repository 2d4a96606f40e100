from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.bus import new_key_pair
from shared.bus_keys_io import BusKeysError, is_listed, read_keys, write_folder, write_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    public, secret = new_key_pair()
    write_folder(tmp_path / "server", {"secret.key": secret, "server.key": public})
    write_key(tmp_path / "server" / "clients" / "feeds.key", new_key_pair()[0])
    return tmp_path / "server"


def test_keys_are_read_as_they_were_written_and_the_secret_is_never_shown(folder: Path) -> None:
    keys = read_keys(folder)
    assert keys.secret == (folder / "secret.key").read_bytes().strip()
    assert keys.server == (folder / "server.key").read_bytes().strip()
    assert keys.clients == folder / "clients"
    assert keys.secret.decode() not in repr(keys)


def test_files_are_readable_by_their_owner_alone_and_never_replaced(folder: Path) -> None:
    written = [folder / "secret.key", folder / "server.key", folder / "clients" / "feeds.key"]
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600] * 3
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "clients")] == [0o700] * 2
    before = [path.read_bytes() for path in written]
    for path in written:
        with pytest.raises(FileExistsError):
            write_key(path, b"x" * 40)
    with pytest.raises(FileExistsError):
        write_folder(folder, {"secret.key": b"x" * 40})
    assert [path.read_bytes() for path in written] == before


def test_a_missing_file_is_named_with_what_makes_it(folder: Path) -> None:
    (folder / "server.key").unlink()
    with pytest.raises(BusKeysError, match=r"server/server.key is missing: `mm_bot.py --generate-keys DIR`"):
        read_keys(folder)


def test_a_secret_that_everybody_can_read_is_refused(folder: Path) -> None:
    (folder / "secret.key").chmod(0o644)
    with pytest.raises(BusKeysError, match=r"secret.key is open to every user of this machine: chmod 600"):
        read_keys(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(folder: Path) -> None:
    (folder / "secret.key").chmod(0)
    with pytest.raises(BusKeysError, match=r"secret.key cannot be read: Permission denied; .*chown"):
        read_keys(folder)


def test_a_folder_in_the_place_of_a_file_is_named(folder: Path) -> None:
    (folder / "secret.key").unlink()
    (folder / "secret.key").mkdir()
    with pytest.raises(BusKeysError, match=r"secret.key cannot be read: Is a directory"):
        read_keys(folder)


@pytest.mark.parametrize("text", ["", "short", "x" * 41, "~" * 40])
def test_what_is_no_key_is_refused_wherever_it_stands(folder: Path, text: str) -> None:
    (folder / "clients" / "bad.key").write_text(text)
    with pytest.raises(BusKeysError, match=r"clients/bad.key holds no key"):
        read_keys(folder)


def test_the_list_is_read_anew_each_time(folder: Path) -> None:
    public, _ = new_key_pair()
    assert not is_listed(public, folder / "clients")
    write_key(folder / "clients" / "new.key", public)
    assert is_listed(public, folder / "clients")
    (folder / "clients" / "new.key").unlink()
    assert not is_listed(public, folder / "clients")


def test_a_file_that_is_no_key_lets_nobody_in_and_keeps_nobody_out(folder: Path) -> None:
    (folder / "clients" / "a.key").write_text("junk")
    assert is_listed((folder / "clients" / "feeds.key").read_bytes().strip(), folder / "clients")
    assert not is_listed(b"junk", folder / "clients")
    assert not is_listed(b"x" * 40, folder / "nowhere")
