"""Runs `chaperone tui` in a terminal of its own, types keys, and checks what is left behind.

tui.py PROGRAM COMMAND... : each line of standard input is a text to wait for, a tab, and the keys to type then.
"""

import os
import pty
import re
import select
import signal
import sys
import termios
import time

LONGEST = 30


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    before = termios.tcgetattr(terminal)
    termios.tcsetwinsize(terminal, (24, 100))
    seen = b""

    def read(until):
        nonlocal seen
        start, deadline = len(seen), time.monotonic() + LONGEST
        while not until(seen[start:]):
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                os.kill(pid, signal.SIGKILL)
                sys.exit(f"nothing more came after {seen[start:]!r}")
            try:
                more = os.read(terminal, 65536)
            except OSError:
                more = b""
            if not more:
                return
            seen += more

    for line in sys.stdin.read().splitlines():
        wanted, keys = line.split("\t")
        # Only cells that change are written: the text comes in one piece where the screen was another before.
        read(lambda new: wanted.encode() in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", new))
        os.write(terminal, keys.encode().decode("unicode_escape").encode())
    read(lambda _: False)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"exit status {code}"
    assert b"\x1b[?1049h" in seen and seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h"), "the other screen is left"
    assert seen.count(b"\x1b[?25h"), "the cursor is shown"
    assert termios.tcgetattr(terminal)[:4] == before[:4], "the terminal's modes are restored"
    print("restored")


main()
