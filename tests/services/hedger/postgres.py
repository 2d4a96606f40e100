"""A private PostgreSQL server for tests: its own folder, its own Unix socket, no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ABSENT = "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"


def binaries() -> Path | None:
    """The newest server's programs as Debian lays them out; None when there is none or we may not start it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found or (os.getuid() == 0 and (_account() is None or shutil.which("setpriv") is None)):
        return None
    return found[-1].parent


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


@contextmanager
def serving(programs: Path) -> Iterator[str]:
    """A server for the length of a block; gives the URL of its database."""
    folder = Path(tempfile.mkdtemp(prefix="mmpg"))
    account = _account()
    as_other: list[str] = []
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0 and account is not None:  # PostgreSQL refuses to run as root
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_other = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        user = "postgres"

    def run(program: str, *arguments: str) -> None:
        command = [*as_other, str(programs / program), *arguments]
        subprocess.run(
            command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90
        )

    place = str(folder / "db")
    try:
        run("initdb", "-D", place, "-A", "trust", "-U", user, "--no-sync")
        run("pg_ctl", "-D", place, "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses=", "start")
        try:
            yield f"postgresql://{user}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", place, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
