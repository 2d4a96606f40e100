"""The container's question to its own process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.processes import ROOT

CHECK = ROOT / "deploy" / "healthcheck.py"


class Process(BaseHTTPRequestHandler):
    """Answers as a process does: well at `/health`, unwell elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()
        self.wfile.write(b"2 streams LIVE\n" if self.path == "/health" else b"not LIVE: SpotQuote ETH\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is not its log."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Process)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(*arguments: str, **variables: str) -> tuple[int, str]:
    command = [sys.executable, "-I", str(CHECK), *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.strip()


def test_a_healthy_process_exits_with_0_and_its_sentence(port: int) -> None:
    assert ask(MM_METRICS_PORT=str(port)) == (0, "2 streams LIVE")


def test_an_unhealthy_process_exits_with_1_and_its_reason(port: int) -> None:
    assert ask(f"http://127.0.0.1:{port}/unwell") == (1, "not LIVE: SpotQuote ETH")


def test_silence_exits_with_1() -> None:
    exit_code, said = ask("http://127.0.0.1:9/health")
    assert exit_code == 1
    assert said.startswith("no answer: ")


def test_no_proxy_is_asked(port: int) -> None:
    proxy = "http://127.0.0.1:9"
    assert ask(MM_METRICS_PORT=str(port), http_proxy=proxy, HTTP_PROXY=proxy) == (0, "2 streams LIVE")
