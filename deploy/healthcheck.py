"""Asks the process of this container whether it is well, prints its answer, and exits with 0 or 1.

`healthcheck.py [URL]`; the URL defaults to `/health` on MM_METRICS_PORT. Standard library alone: it runs every few
seconds in every container.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 3.0


def main(arguments: list[str]) -> int:
    """Ask, print, answer by the exit code."""
    url = arguments[0] if arguments else f"http://127.0.0.1:{os.environ['MM_METRICS_PORT']}/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy: it is ourselves
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            print(answer.read(500).decode(errors="replace").strip())
            return 0
    except urllib.error.HTTPError as error:
        print(error.read(500).decode(errors="replace").strip() or error)
    except OSError as error:
        print(f"no answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
