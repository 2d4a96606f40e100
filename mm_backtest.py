"""Judges a configuration on recorded or simulated periods: `python3 mm_backtest.py --help`.

In Python: `from mm_backtest import backtest`.
"""

from __future__ import annotations

import signal
import sys

from shared.door import prepared_python

if __name__ == "__main__":
    answers_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers_interrupts:  # while only modules are loaded, Ctrl-C simply ends it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with prepared_python():
        from backtest.cli import parse

        options = parse(sys.argv[1:])  # help and mistakes end here, before everything else is loaded
        from backtest.main import main
    if answers_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(options))
elif __name__ == "__mp_main__":  # a worker of ours: Ctrl-C reaches it too, and the parent answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
else:
    from backtest.api import BacktestResult, backtest, write_sample

    __all__ = ["BacktestResult", "backtest", "write_sample"]
