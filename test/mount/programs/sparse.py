"""A very large sparse file: exact holes and data, small use of space."""
import errno
import os
import random
import sys

from checks import *

path = os.path.join(sys.argv[1], "sparse")
seed = int(sys.argv[3])
GIB = 1 << 30
SIZE = 100 * GIB
# Pieces of data at scattered, block-aligned places, and what lies in them.
rng = random.Random(seed)
places = sorted(rng.sample(range(0, SIZE // 4096 - 64, 64), 200))
pieces = {place * 4096: 4096 * rng.randrange(1, 17) for place in places}


def content(offset):
    return random.Random(offset ^ seed).randbytes(pieces[offset])


def segments(fd):
    """What SEEK_DATA and SEEK_HOLE say, as (start, end) of each piece of data."""
    found, at = [], 0
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return found
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, at))


def compare(fd):
    wrong = [offset for offset in pieces if os.pread(fd, pieces[offset], offset) != content(offset)]
    equal(wrong, [], "a sparse file of 100 GiB gives back what was written at scattered places")
    holes = [rng.randrange(0, SIZE - 65536) for _ in range(200)]
    dirty = []
    for hole in holes:
        near = [o for o in pieces if o - 65536 < hole < o + pieces[o]]
        if not near and os.pread(fd, 65536, hole) != bytes(65536):
            dirty.append(hole)
    equal(dirty, [], "its holes read as zeros")
    equal(segments(fd), [(offset, offset + pieces[offset]) for offset in sorted(pieces)], "SEEK_DATA and SEEK_HOLE are exact")
    info = os.fstat(fd)
    equal(info.st_size, SIZE, "its size is 100 GiB")
    data = sum(pieces.values())
    ok(data <= info.st_blocks * 512 <= data * 1.2 + (1 << 20), "its use of space is small", f"{info.st_blocks * 512} for {data} bytes")


def make():
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    equal(os.fstat(fd).st_blocks, 0, "truncate upwards takes no space")
    equal(os.lseek(fd, 0, os.SEEK_HOLE), 0, "a file without data is one hole")
    fails(errno.ENXIO, "SEEK_DATA in a file without data: ENXIO", os.lseek, fd, 0, os.SEEK_DATA)
    order = list(pieces)
    rng.shuffle(order)
    for offset in order:
        os.pwrite(fd, content(offset), offset)
    compare(fd)
    fails(errno.ENXIO, "SEEK_DATA at the end: ENXIO", os.lseek, fd, SIZE, os.SEEK_DATA)
    os.close(fd)


def again():
    fd = os.open(path, os.O_RDWR)
    compare(fd)
    # Cut in the middle of a piece, extend again: nothing of the cut part may come back.
    last = max(pieces)
    os.ftruncate(fd, last + 100)
    os.ftruncate(fd, SIZE)
    equal(os.pread(fd, 65536, last), content(last)[:100] + bytes(65436), "a piece cut by truncate reads as zeros beyond the cut")
    os.close(fd)
    os.unlink(path)


print(f"SEED={seed}")
run_cases([{"make": make, "again": again}[sys.argv[2]]])
