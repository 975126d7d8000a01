"""Started beside a command as a script: once that has ended, however it did, ends what is left of all it started.

Where a command with Ray is killed, two of Ray's processes otherwise wait a minute for others that have ended. Standard
library only; its standard input is a pipe that the command holds open.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

EVERY = 2  # s between two looks at what the command has started
AFTER = 5  # s that its processes have to end by themselves


def processes() -> dict[int, tuple[int, str]]:
    """By number: the parent's, and the time of its start, which tells it from a later one of that number."""
    found = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            words = file.read().rpartition(")")[2].split()
            found[int(name)] = int(words[1]), words[19]
    return found


def main() -> None:
    command, seen = os.getppid(), {}
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        now, below = processes(), [command]
        for one in below:  # grows meanwhile
            below += [number for number, (parent, _) in now.items() if parent == one]
        seen |= {number: now[number][1] for number in below[1:] if number != os.getpid()}
    time.sleep(AFTER)
    now = processes()
    for number, start in seen.items():
        if number in now and now[number][1] == start:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)


if __name__ == "__main__":
    main()
