"""The other half of the demo: waits for the message of the C program in the mapped file, and answers there.

    share.py FILE
"""

import mmap
import os
import struct
import sys
import time

PAGE = 4096
WAIT_SECONDS = 20
C_HAS_WRITTEN, PYTHON_HAS_WRITTEN = 1, 2


def map_file(path: str) -> mmap.mmap:
    """Maps the file as soon as the C program has made it and given it its size."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if os.path.exists(path) and os.path.getsize(path) == 2 * PAGE:
            with open(path, "r+b") as file:
                return mmap.mmap(file.fileno(), 2 * PAGE)
        time.sleep(0.001)
    sys.exit(f"Python: {path} did not appear in {WAIT_SECONDS} seconds")


def turn(memory: mmap.mmap) -> int:
    return struct.unpack_from("=I", memory, 0)[0]


def main() -> None:
    memory = map_file(sys.argv[1])
    deadline = time.monotonic() + WAIT_SECONDS
    while turn(memory) != C_HAS_WRITTEN:
        if time.monotonic() > deadline:
            sys.exit(f"Python: no message from the C program in {WAIT_SECONDS} seconds")
        time.sleep(0.001)
    message = memory[4 : memory.find(b"\0", 4)].decode()
    print(f'Python: loaded   "{message}"', flush=True)
    answer = f"an answer stored by the Python program, process {os.getpid()}"
    memory[PAGE : PAGE + len(answer) + 1] = answer.encode() + b"\0"
    print(f'Python: stored   "{answer}"', flush=True)
    struct.pack_into("=I", memory, 0, PYTHON_HAS_WRITTEN)
    memory.close()


main()
