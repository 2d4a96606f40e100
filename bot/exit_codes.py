"""What the exit code of `mm_bot.py` means."""

from __future__ import annotations

CLEAN = 0
CRASHED = 1
CONFIGURATION = 2
ALREADY_RUNNING = 3
PART_FAILED = 4
NOTHING_RECORDED = 5

MEANINGS = {
    CLEAN: "stopped cleanly: Ctrl-C, SIGTERM, --duration; or done: --replay, --explain, --show-config, --generate-keys",
    CRASHED: "a fault of the bot itself",
    CONFIGURATION: "wrong usage or configuration: the message names what, a restart will not help",
    ALREADY_RUNNING: "another bot runs on this output folder",
    PART_FAILED: "a part without which nothing is quoted died again and again and was given up",
    NOTHING_RECORDED: "--replay found no recorded frame",
}
