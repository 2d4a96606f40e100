"""Starts the whole market maker on this machine: `python3 mm_bot.py --help`."""

from __future__ import annotations

import sys

from shared.door import prepared_python

if __name__ == "__main__":
    with prepared_python():
        from bot.main import main
    sys.exit(main(sys.argv[1:]))
