"""Runs a command on a terminal of its own and types an answer at each question.

usage: terminal.py ANSWERS COMMAND [ARGUMENT ...]
ANSWERS is a list with commas; the last one is repeated; ^C types that key. Prints what was shown, and exits with the command's exit code.
"""
import os
import pty
import select
import sys
import time

answers = sys.argv[1].split(",")
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b""
asked = 0
deadline = time.time() + 90
while time.time() < deadline:
    ready, _, _ = select.select([terminal], [], [], 1)
    if not ready:
        continue
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    shown += data
    while shown.count(b"? [Y/n/a] ") > asked:
        answer = answers[min(asked, len(answers) - 1)]
        os.write(terminal, b"\x03" if answer == "^C" else answer.encode() + b"\n")
        asked += 1
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
