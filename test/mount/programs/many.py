"""One directory with many files: complete listings, also while names come and go."""
import os
import sys
import time

from checks import *

count = int(sys.argv[2])
base = os.path.join(sys.argv[1], "many")


def name(i):
    return f"file-{i:07d}-{(i * 2654435761) % 4294967296:08x}"


def timed(what, number, since):
    seconds = time.monotonic() - since
    print(f"{what}: {number} in {seconds:.2f} s, {number / seconds:.0f}/s", flush=True)


def names_in(path):
    with os.scandir(path) as entries:
        return [entry.name for entry in entries]


def many_files():
    os.mkdir(base)
    names = [name(i) for i in range(count)]
    since = time.monotonic()
    for n in names:
        os.close(os.open(os.path.join(base, n), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    timed("create", count, since)

    since = time.monotonic()
    inodes = {os.stat(os.path.join(base, n)).st_ino for n in names}
    timed("stat", count, since)
    equal(len(inodes), count, "each of many files has its own inode number")

    since = time.monotonic()
    listed = names_in(base)
    timed("readdir", count, since)
    equal(len(listed), count, "readdir of a large directory gives every name once")
    equal(set(listed) == set(names), True, "readdir of a large directory gives the right names")

    # Half of the names go while the directory is being read: the others must each appear exactly once.
    since = time.monotonic()
    keep, seen = set(names[0::2]), []
    doomed = names[1::2]
    with os.scandir(base) as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number % 2 == 0 and doomed:
                os.unlink(os.path.join(base, doomed.pop()))
    for n in doomed:
        os.unlink(os.path.join(base, n))
    timed("readdir while unlinking", count, since)
    equal(len(seen), len(set(seen)), "readdir while names go gives no name twice")
    equal(keep - set(seen), set(), "readdir while names go misses none that stayed")

    # New names come while the directory is being read: the old ones must still each appear exactly once.
    seen = []
    with os.scandir(base) as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number < count // 10:
                os.close(os.open(os.path.join(base, f"new-{number}"), os.O_CREAT | os.O_WRONLY))
    old = [n for n in seen if not n.startswith("new-")]
    equal(len(old), len(set(old)), "readdir while names come gives no name twice")
    equal(set(old) == keep, True, "readdir while names come misses none that was there")
    equal(len(seen), len(set(seen)), "readdir gives no new name twice")


def remove_all():
    since = time.monotonic()
    listed = names_in(base)
    for n in listed:
        os.unlink(os.path.join(base, n))
    timed("unlink", len(listed), since)
    equal(names_in(base), [], "a directory is empty when all names are gone")
    os.rmdir(base)


def listing():
    """After a remount: what many_files left."""
    wanted = {name(i) for i in range(0, count, 2)} | {f"new-{i}" for i in range(count // 10)}
    equal(set(names_in(base)) == wanted, True, "a large directory is complete after a remount")
    equal(os.stat(os.path.join(base, name(0))).st_size, 0, "and its files can be looked up")


run_cases({"make": [many_files], "remove": [listing, remove_all]}[sys.argv[3]])
