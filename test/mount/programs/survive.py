"""Programs that live through deaths of the server: `survive.py KIND DIR STOP` works in DIR until the file STOP is there, then checks that nothing is lost or doubled.

Every call must succeed: an exception ends the program with exit code 1.
"""
import fcntl
import mmap
import os
import random
import sqlite3
import struct
import subprocess
import sys
import time
import zlib

from checks import RENAME_EXCHANGE, link_fd, renameat2

kind, base, stop = sys.argv[1:4]
rng = random.Random(int(sys.argv[4]))
os.makedirs(base, exist_ok=True)
os.chdir(base)
rounds = 0


def going():
    global rounds
    rounds += 1
    return not os.path.exists(stop)


def record(number, length):
    body = struct.pack("<QQ", number, length) + random.Random(number).randbytes(length)
    return body + struct.pack("<I", zlib.crc32(body))


def check_records(data, count):
    """Exactly the records 0 … count - 1, in order."""
    at = 0
    for number in range(count):
        found, length = struct.unpack_from("<QQ", data, at)
        assert found == number, f"record {number} expected at {at}, found {found}"
        end = at + 16 + length
        assert zlib.crc32(data[at:end]) == struct.unpack_from("<I", data, end)[0], f"record {number} is damaged"
        at = end + 4
    assert at == len(data), f"{len(data) - at} bytes too many"


def append():
    """O_APPEND: a record that is written twice or lost shows."""
    fd = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    count = 0
    before = 0
    while going():
        data = record(count, rng.choice((1, 100, 3000, 20_000)))
        assert os.write(fd, data) == len(data)
        count += 1
        mtime = os.fstat(fd).st_mtime_ns
        assert mtime >= before, f"mtime went back by {before - mtime} ns"
        before = mtime
        if os.fstat(fd).st_size > 20_000_000:
            check_records(open("log", "rb").read(), count)
            os.ftruncate(fd, 0)
            count = 0
    check_records(open("log", "rb").read(), count)


def names():
    """Each call exactly once: a second CREATE would be EEXIST, a second UNLINK ENOENT, a second exchange undone."""
    number = 0
    os.mkdir("a"), os.mkdir("b")
    while going():
        number += 1
        name = f"f{number}"
        fd = os.open(f"a/{name}", os.O_CREAT | os.O_EXCL | os.O_RDWR)
        os.write(fd, name.encode())
        os.link(f"a/{name}", f"b/{name}")
        assert os.fstat(fd).st_nlink == 2
        os.rename(f"a/{name}", f"b/{name}.new")
        os.symlink(name, f"a/{name}")
        renameat2(f"a/{name}", f"b/{name}.new", RENAME_EXCHANGE)
        assert os.readlink(f"b/{name}.new") == name and open(f"a/{name}").read() == name
        os.mkdir("a/d")
        os.rename("a/d", "b/d")
        os.rmdir("b/d")
        os.unlink(f"a/{name}")
        os.unlink(f"b/{name}.new")
        os.unlink(f"b/{name}")
        assert os.fstat(fd).st_nlink == 0 and os.pread(fd, 100, 0) == name.encode()
        os.close(fd)
        hidden = os.open(".", os.O_TMPFILE | os.O_RDWR)
        os.write(hidden, b"hidden")
        link_fd(hidden, "a/shown")
        os.close(hidden)
        assert open("a/shown").read() == "hidden"
        os.unlink("a/shown")
        assert os.listdir("a") == [] and os.listdir("b") == []


def mapping():
    """Stores to a shared mapping, made durable with msync, against a copy."""
    size = 1 << 20
    fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)
    copy = bytearray(size)
    with mmap.mmap(fd, size) as shared:
        while going():
            for _ in range(20):
                at = rng.randrange(size - 5000)
                data = rng.randbytes(rng.choice((1, 64, 5000)))
                shared[at:at + len(data)] = data
                copy[at:at + len(data)] = data
            shared.flush()
            at = rng.randrange(size - 4096)
            assert os.pread(fd, 4096, at) == copy[at:at + 4096]
        assert shared[:] == bytes(copy)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(fd, size, 0) == bytes(copy), "what was stored is in the file"


def held():
    """What is open, locked and without a name all the time, and directories in the middle of being read."""
    fd = os.open("gone", os.O_CREAT | os.O_RDWR)
    os.unlink("gone")
    hidden = os.open(".", os.O_TMPFILE | os.O_RDWR)
    content = rng.randbytes(100_000)
    os.write(fd, content)
    os.write(hidden, content)
    lock = os.open("lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ranges = os.open("ranges", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(ranges, fcntl.LOCK_EX, 10, 5)
    os.mkdir("many")
    expected = {f"entry {number} {'x' * (number % 90)}" for number in range(1500)}
    for name in expected:
        os.close(os.open(f"many/{name}", os.O_CREAT | os.O_WRONLY))
    os.mkdir("inside")
    where = os.open("inside", os.O_RDONLY)
    os.rmdir("inside")
    while going():
        at = rng.randrange(90_000)
        data = rng.randbytes(2000)
        content = content[:at] + data + content[at + 2000:]
        for one in (fd, hidden):
            os.pwrite(one, data, at)
            os.posix_fadvise(one, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(one, 200_000, 0) == content
            assert os.fstat(one).st_nlink == 0
        assert os.fstat(where).st_nlink == 0 and os.listdir(where) == []
        # A changed directory is read from the server again, entry by entry.
        extra = f"extra {rounds}"
        os.close(os.open(f"many/{extra}", os.O_CREAT | os.O_WRONLY))
        found = []
        with os.scandir("many") as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) % 300 == 0:
                    time.sleep(0.01)
        assert sorted(found) == sorted(expected | {extra}), "every entry once"
        os.unlink(f"many/{extra}")
        pid = os.fork()
        if pid == 0:
            other = os.open("lock", os.O_RDWR)
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os._exit(1)
            except BlockingIOError:
                pass
            try:
                fcntl.lockf(os.open("ranges", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
                os._exit(2)
            except BlockingIOError:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the locks are held"


def database():
    """SQLite: every transaction that was committed is there once."""
    connection = sqlite3.connect("data.db", timeout=60, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={rng.choice(('WAL', 'DELETE'))}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE record(number INTEGER PRIMARY KEY, data BLOB)")
    count = 0
    while going():
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO record VALUES (?, randomblob(3000))", (count,))
        connection.execute("UPDATE record SET data = randomblob(2000) WHERE number = ?", (rng.randrange(count + 1),))
        connection.execute("COMMIT")
        count += 1
    connection.close()
    connection = sqlite3.connect("data.db")
    assert connection.execute("SELECT count(*), max(number) FROM record").fetchone() == (count, count - 1)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def repository():
    """git: a history of commits, repacked now and then."""
    def git(*words):
        return subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "gc.auto=0", *words],
                              check=True, stdout=subprocess.PIPE).stdout.decode()
    git("init", "-q", ".")
    commits = 0
    while going():
        for number in range(5):
            with open(f"file{number}", "ab") as file:
                file.write(rng.randbytes(3000))
        git("add", ".")
        git("commit", "-q", "-m", f"commit {commits}")
        commits += 1
        if commits % 15 == 0:
            git("repack", "-q", "-a", "-d")
    git("fsck", "--strict", "--full")
    assert git("rev-list", "--all", "--count").strip() == str(commits)
    assert git("status", "--porcelain") == ""


def pause():
    """Prints the longest that a single call took."""
    fd = os.open("clock", os.O_CREAT | os.O_RDWR)
    longest = []
    while going():
        began = time.monotonic()
        os.pwrite(fd, b"tick", 0)
        longest.append(time.monotonic() - began)
        time.sleep(0.001)
    longest.sort(reverse=True)
    print(" ".join(f"{1000 * value:.1f}" for value in longest[:400]))


{"append": append, "names": names, "mapping": mapping, "held": held, "database": database, "repository": repository, "pause": pause}[kind]()
print(f"{kind}: {rounds} rounds")
