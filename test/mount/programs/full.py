"""Fills the volume to the last block and empties it again: `full.py DIR SEED`."""
import errno
import os
import random
import sys
import time

from checks import *

base = os.path.join(sys.argv[1], "full")
rng = random.Random(int(sys.argv[2]))
print(f"SEED={sys.argv[2]}")
written = {}  # path → (seed, length) of what was acknowledged


def at(name):
    return os.path.join(base, name)


def no_space(promise, function, *args):
    """The call must fail with ENOSPC, at once."""
    since = time.monotonic()
    fails(errno.ENOSPC, promise, function, *args)
    ok(time.monotonic() - since < 2, f"{promise}: at once")


def until_full(step, limit):
    """Repeats until ENOSPC; returns how often it went well."""
    for number in range(limit):
        try:
            step(number)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return number
    raise ValueError(f"the volume took {limit} steps and is not full")


def large(number):
    seed, length = rng.getrandbits(32), 3_000_001
    path = at(f"large{number}")
    data = random.Random(seed).randbytes(length)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    written[path] = (seed, 0)
    try:
        done = 0
        while done < length:
            done += os.write(fd, data[done:done + 500_000])
            written[path] = (seed, done)
    finally:
        os.close(fd)


def small(number):
    path = at(f"small{number}")
    seed = rng.getrandbits(32)
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    written[path] = (seed, 0)
    try:
        if os.write(fd, random.Random(seed).randbytes(4096)) == 4096:
            written[path] = (seed, 4096)
    finally:
        os.close(fd)


def empty(number):
    os.close(os.open(at(f"empty{number}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    written[at(f"empty{number}")] = (0, 0)


def intact(promise):
    wrong = []
    for path, (seed, length) in written.items():
        data = read_file(path)
        wanted = random.Random(seed).randbytes(3_000_001 if "large" in path else length)[:len(data)]
        # A write cut short by ENOSPC may have left some of its bytes; they must be the right ones.
        if len(data) < length or data != wanted:
            wrong.append(f"{path}: {len(data)} bytes, {length} acknowledged")
    equal(wrong, [], promise)


def fill():
    os.mkdir(base)
    os.mkdir(at("directory"))
    print(f"large files: {until_full(large, 100_000)}")
    print(f"small files: {until_full(small, 100_000)}")
    print(f"empty files: {until_full(empty, 3_000_000)}")
    until_full(lambda n: os.mkdir(at(f"dir{n}")), 1_000_000)
    no_space("ENOSPC for a new directory on a full volume", os.mkdir, at("more"))
    equal(os.statvfs(base).f_bavail < 64, True, "statfs shows a full volume as full")
    intact("a full volume keeps what it acknowledged")
    first = next(path for path in written if "large" in path)
    seed, length = written[first]
    fd = os.open(first, os.O_RDWR)
    os.pwrite(fd, random.Random(seed).randbytes(length)[:10_000], 0)
    os.close(fd)
    ok(True, "overwriting in place works on a full volume")
    os.chmod(first, 0o600)
    os.utime(first, ns=(1, 1))
    os.rename(first, first + "x")
    os.rename(first + "x", first)
    ok(True, "chmod, utimens and rename back and forth work on a full volume")
    intact("and nothing was damaged by it")


def free():
    # Truncate and unlink need space for themselves; they must work when there is none.
    larges = [path for path in written if "large" in path]
    half = larges[0]
    os.truncate(half, 1_000_001)
    written[half] = (written[half][0], 1_000_001)
    fd = os.open(larges[1], os.O_RDWR)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096)
    os.close(fd)
    del written[larges[1]]
    os.unlink(larges[1])
    ok(True, "truncate, punch and unlink work on a full volume")
    intact("and leave the other files alone")
    write_file(at("after"), b"there is space again" * 1000)
    equal(read_file(at("after")), b"there is space again" * 1000, "freed space can be used at once")
    # Fill and free a few times: a leak of a few blocks per turn would show at the end.
    for turn in range(3):
        until_full(lambda n: write_file(at(f"turn{turn}-{n}"), bytes(1_000_003)), 100_000)
        for name in os.listdir(base):
            if name.startswith(f"turn{turn}-"):
                os.unlink(at(name))
    intact("filling and freeing again leaves the other files alone")


def empty_all():
    import shutil
    shutil.rmtree(base)
    ok(not os.path.exists(base), "everything on a full volume can be removed")


run_cases([fill, free, empty_all])
