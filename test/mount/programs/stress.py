"""Several processes do random operations on the same few names: `stress.py DIR SEED PROCESSES OPERATIONS`.

Losing a race (ENOENT, EEXIST …) is part of it; any other error is not. Every write is made of 512-byte records that name
their own offset and checksum, so that at the end each byte of each file can be judged.
"""
import errno
import mmap
import os
import random
import stat
import struct
import sys
import zlib

from checks import *

base = os.path.join(sys.argv[1], "stress")
seed, processes, operations = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
RECORD = 512
RECORDS_MAX = 400
RACES = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EPERM, errno.ELOOP, errno.ENXIO)


def record(offset, rng):
    body = struct.pack("<QQ", offset, rng.getrandbits(64)) * 31
    return body + struct.pack("<QQ", zlib.crc32(body) + 1, 0x7265636f72640000)


def is_record(data, offset):
    if len(data) != RECORD:
        return False
    body, (checksum, magic) = data[:-16], struct.unpack("<QQ", data[-16:])
    return magic == 0x7265636f72640000 and checksum == zlib.crc32(body) + 1 and struct.unpack("<Q", body[:8])[0] == offset


def log_record(rng):
    body = rng.randbytes(496)
    return body + struct.pack("<QQ", zlib.crc32(body) + 1, 0x6c6f670000)


def is_log_record(data):
    return len(data) == RECORD and data[-16:] == struct.pack("<QQ", zlib.crc32(data[:-16]) + 1, 0x6c6f670000)


def records(first, count, rng):
    return b"".join(record((first + i) * RECORD, rng) for i in range(count))


class Process:
    def __init__(self, number):
        self.rng = random.Random(seed * 1000 + number)

    def name(self):
        parts = [self.rng.choice("abc") for _ in range(self.rng.randrange(0, 3))] + [f"n{self.rng.randrange(12)}"]
        return os.path.join(base, *parts)

    def write(self):
        fd = os.open(self.name(), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            first = self.rng.randrange(RECORDS_MAX)
            os.pwrite(fd, records(first, self.rng.choice((1, 3, 8, 60)), self.rng), first * RECORD)
        finally:
            os.close(fd)

    def store(self):
        """Through a shared mapping, in files that nobody cuts: a mapped page that is cut is SIGBUS on every filesystem."""
        fd = os.open(os.path.join(base, f"mapped{self.rng.randrange(3)}"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            first = self.rng.randrange(RECORDS_MAX)
            data = records(first, 2, self.rng)
            start = first * RECORD // 4096 * 4096
            os.posix_fallocate(fd, start, 2 * 4096)
            with mmap.mmap(fd, 2 * 4096, offset=start) as mapping:
                mapping[first * RECORD - start:first * RECORD - start + len(data)] = data
        finally:
            os.close(fd)

    def punch(self):
        fd = os.open(self.name(), os.O_RDWR)
        try:
            fallocate(fd, PUNCH_HOLE | KEEP_SIZE, self.rng.randrange(RECORDS_MAX) * RECORD, self.rng.randrange(1, 100) * RECORD)
        finally:
            os.close(fd)

    def read(self):
        fd = os.open(self.name(), os.O_RDONLY)
        try:
            os.pread(fd, 65536, self.rng.randrange(RECORDS_MAX) * RECORD)
            os.lseek(fd, 0, os.SEEK_DATA)
        finally:
            os.close(fd)

    def walk(self):
        for _, _, files in os.walk(os.path.dirname(self.name())):
            if len(files) != len(set(files)):
                raise ValueError("a name appears twice in a listing")

    def append(self):
        """Appending is the one write whose place is not known before: it is a file of its own kind."""
        fd = os.open(os.path.join(base, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, log_record(self.rng))
        os.close(fd)

    def step(self):
        r = self.rng
        action = r.randrange(100)
        if action < 20:
            self.write()
        elif action < 30:
            self.read()
        elif action < 35:
            self.punch()
        elif action < 40:
            self.append()
        elif action < 52:
            os.unlink(self.name())
        elif action < 62:
            os.rename(self.name(), self.name())
        elif action < 66:
            renameat2(self.name(), self.name(), r.choice((RENAME_EXCHANGE, RENAME_NOREPLACE)))
        elif action < 74:
            os.mkdir(os.path.join(os.path.dirname(self.name()), r.choice("abc")))
        elif action < 78:
            os.rmdir(os.path.join(os.path.dirname(self.name()), r.choice("abc")))
        elif action < 84:
            os.link(self.name(), self.name(), follow_symlinks=False)
        elif action < 88:
            os.symlink(f"n{r.randrange(12)}", self.name())
        elif action < 92:
            os.truncate(self.name(), r.randrange(RECORDS_MAX) * RECORD)
        elif action < 95:
            os.chmod(self.name(), r.choice((0o644, 0o600)))
        elif action < 97:
            self.walk()
        else:
            self.store()

    def run(self):
        for _ in range(operations):
            try:
                self.step()
            except OSError as error:
                if error.errno not in RACES:
                    raise


def load():
    os.mkdir(base)
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            import traceback
            try:
                Process(number).run()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    equal(codes, [0] * processes, "random operations of several processes see no error but lost races")


def judge():
    bad, links, names = [], {}, {}
    for top, directories, files in os.walk(base):
        if os.stat(top).st_nlink != 2 + len(directories) - sum(os.path.islink(os.path.join(top, d)) for d in directories):
            bad.append(f"{top}: link count {os.stat(top).st_nlink}, {len(directories)} subdirectories")
        for name in files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            links[info.st_ino] = info.st_nlink
            names[info.st_ino] = names.get(info.st_ino, 0) + 1
            if not stat.S_ISREG(info.st_mode):
                continue
            data = read_file(path)
            for offset in range(0, len(data), RECORD):
                piece = data[offset:offset + RECORD]
                if not (is_log_record(piece) if name == "log" else piece == bytes(RECORD) or is_record(piece, offset)):
                    bad.append(f"{path}: the record at {offset} of {len(data)} is foreign: {piece[:16].hex()}")
                    break
    equal(bad, [], "after random operations every byte is what some write put there, or zero")
    equal(links, names, "after random operations every link count is right")


print(f"SEED={seed}")
run_cases([load, judge] if len(sys.argv) < 6 else [judge])
