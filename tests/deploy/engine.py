"""A Docker engine for tests: the system of this tree as a Compose project of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

IMAGE = "polymarket-market-maker:0.0.0-test"
NOT_AVAILABLE = ("alertmanager", "grafana")  # public images that an engine without a registry does not have
LOOK_S = 1.0


class EngineError(AssertionError):
    """A command of the engine failed; the text is what it said."""


def run(*command: str, environment: Mapping[str, str] | None = None, timeout_s: float = 600.0) -> str:
    """Standard output of a command. Raises EngineError."""
    done = subprocess.run(
        command,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def answers(*command: str) -> bool:
    """Whether this command is there and succeeds."""
    try:
        run(*command, timeout_s=30.0)
    except (EngineError, OSError, subprocess.TimeoutExpired):
        return False
    return True


def compose_command() -> tuple[str, ...] | None:
    """Compose v2, or 1.29; None without an engine."""
    if not answers("docker", "info"):
        return None
    return next((each for each in (("docker", "compose"), ("docker-compose",)) if answers(*each, "version")), None)


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class System:
    """The project: a copy of the tree, so that neither its `.env` nor its volumes are the user's."""

    def __init__(self, compose: tuple[str, ...], tree: Path, *, name: str) -> None:
        self.name = name
        self.prometheus_port = free_port()
        folder = tree / "deploy"
        shutil.copy(folder / ".env.example", folder / ".env")
        self._compose = (*compose, "-p", name, "-f", str(folder / "docker-compose.yml"), "--project-directory")
        self._compose += (str(folder),)
        self._environment = {
            "MARKET_MAKER_IMAGE": IMAGE,
            "COMPOSE_PROFILES": "sim",
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "SIMULATOR_PORT": str(free_port()),
            "GRAFANA_PORT": str(free_port()),
        }

    def compose(self, *arguments: str) -> str:
        """Run Compose on the project."""
        return run(*self._compose, *arguments, environment=self._environment, timeout_s=1200.0)

    def services(self) -> list[str]:
        """Every service that can be started here."""
        return [name for name in self.compose("config", "--services").split() if name not in NOT_AVAILABLE]

    def containers(self, *services: str) -> dict[str, dict[str, Any]]:
        """What the engine says of each container of these services (default: all), by name."""
        wanted = self.compose("ps", "-q", *services).split()
        found = json.loads(run("docker", "inspect", *wanted)) if wanted else []
        return {each["Name"].lstrip("/"): each for each in found}

    def container(self, service: str) -> str:
        """The name of a service's only container."""
        (name,) = self.containers(service)
        return name

    def wait_until_healthy(self, *services: str, within_s: float = 180.0) -> None:
        """Wait until every container of these services (default: all) is; raises EngineError with what they say."""
        deadline = time.monotonic() + within_s
        while True:
            states = [each["State"] for each in self.containers(*services).values()]
            waiting = [each for each in states if "Health" in each and each["Health"]["Status"] != "healthy"]
            if states and not waiting and all(each["Running"] or not each["ExitCode"] for each in states):
                return
            if time.monotonic() > deadline:
                raise EngineError(f"not healthy within {within_s:g} s: {json.dumps(waiting)[-5000:]}\n{self.logs()}")
            time.sleep(LOOK_S)

    def python(self, service: str, program: str, *arguments: str) -> str:
        """Run a program in a service's container."""
        return run("docker", "exec", self.container(service), "python", "-c", program, *arguments)

    def beside(self, program: Path, *arguments: str, volumes: Sequence[str] = ()) -> tuple[str, ...]:
        """The command that runs a program in a container of its own, confined as the services are."""
        mounts = [part for each in volumes for part in ("-v", f"{self.name}_{each}:/mm/{each}:ro")]
        mounts += ["-v", f"{program}:/program.py:ro"]
        confined = ("--rm", "--init", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
        return ("docker", "run", *confined, *mounts, IMAGE, "/program.py", *arguments)

    def kill(self, service: str, name: str = "") -> None:
        """`kill -9` the process of a service's container (its only one without a name): the engine starts it again."""
        name = name or self.container(service)
        before = self.containers(service)[name]["RestartCount"]
        program = (
            "import os\n"
            "for name in filter(str.isdigit, os.listdir('/proc')):\n"
            "    if int(name) not in (1, os.getpid()) and os.stat(f'/proc/{name}').st_uid == os.getuid():\n"
            "        os.kill(int(name), 9)\n"
        )
        subprocess.run(
            ("docker", "exec", name, "python", "-c", program), check=False, timeout=60
        )  # the exec itself may be ended by the end of its container
        deadline = time.monotonic() + 60.0
        while self.containers(service)[name]["RestartCount"] == before:
            if time.monotonic() > deadline:
                raise EngineError(f"{service} was not started again\n{self.logs(service)}")
            time.sleep(LOOK_S)

    def logs(self, *services: str) -> str:
        """The last lines of each."""
        return self.compose("logs", "--no-color", "--tail", "5", *services)[-6000:]
