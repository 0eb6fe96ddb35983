"""Mappings: coherent with read and write, between processes, durable after msync."""
import mmap
import os
import random
import signal
import sys

from checks import *

base = os.path.join(sys.argv[1], "mappings")
PAGE = 4096
LENGTH = 64 * PAGE


def at(name):
    return os.path.join(base, name)


def shared_with_read_and_write():
    write_file(at("shared"), bytes(LENGTH))
    fd = os.open(at("shared"), os.O_RDWR)
    with mmap.mmap(fd, LENGTH) as shared:
        shared[5000:5010] = b"by a store"
        equal(os.pread(fd, 10, 5000), b"by a store", "read() sees a store to a shared mapping")
        os.pwrite(fd, b"by a write", 9000)
        equal(shared[9000:9010], b"by a write", "a shared mapping sees write()")
        os.ftruncate(fd, 2 * LENGTH)
        os.pwrite(fd, b"grown", LENGTH)
        with mmap.mmap(fd, 2 * LENGTH) as larger:
            equal(larger[LENGTH:LENGTH + 5], b"grown", "a mapping of a file that grew sees the new part")
            larger[LENGTH:LENGTH + 5] = b"GROWN"
            equal(os.pread(fd, 5, LENGTH), b"GROWN", "and stores to it are read()")
            larger.flush()
        shared[0:5] = b"first"
        shared.flush()
    os.close(fd)
    equal(read_file(at("shared"))[:5], b"first", "a store is in the file after msync and close")


def private_mapping():
    write_file(at("private"), b"a" * LENGTH)
    fd = os.open(at("private"), os.O_RDWR)
    with mmap.mmap(fd, LENGTH, flags=mmap.MAP_PRIVATE) as private:
        private[0:7] = b"private"
        equal(os.pread(fd, 7, 0), b"a" * 7, "a store to a private mapping stays out of the file")
        os.pwrite(fd, b"written", PAGE)
        equal(private[PAGE:PAGE + 7], b"written", "an untouched page of a private mapping shows write()")
    os.close(fd)


def between_processes():
    """Parent and child take turns over one page each, through mappings of their own."""
    write_file(at("turns"), bytes(LENGTH))
    to_child, to_parent = os.pipe(), os.pipe()
    rounds = 200

    def play(mine, theirs, read_end, write_end, begins):
        fd = os.open(at("turns"), os.O_RDWR)
        good = True
        with mmap.mmap(fd, LENGTH) as mapping:
            for turn in range(rounds):
                page = (turn % 32) * 2 * PAGE
                if not begins:
                    os.read(read_end, 1)
                    good &= mapping[page + theirs * PAGE:page + theirs * PAGE + 8] == turn.to_bytes(8, "little")
                mapping[page + mine * PAGE:page + mine * PAGE + 8] = turn.to_bytes(8, "little")
                os.write(write_end, b"x")
                if begins:
                    os.read(read_end, 1)
                    good &= mapping[page + theirs * PAGE:page + theirs * PAGE + 8] == turn.to_bytes(8, "little")
        os.close(fd)
        return good

    pid = os.fork()
    if pid == 0:
        os._exit(0 if play(1, 0, to_child[0], to_parent[1], False) else 1)
    good = play(0, 1, to_parent[0], to_child[1], True)
    equal(os.waitpid(pid, 0)[1], 0, "a child sees its parent's stores through its own shared mapping")
    ok(good, "the parent sees the child's stores")


def beyond_the_end():
    write_file(at("short"), b"x" * PAGE)
    fd = os.open(at("short"), os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        import faulthandler
        faulthandler.disable()
        os.ftruncate(fd, 4 * PAGE)
        mapping = mmap.mmap(fd, 4 * PAGE)
        os.ftruncate(fd, PAGE)
        mapping[3 * PAGE] = 1
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    ok(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS, "a store beyond the end of the file: SIGBUS")
    os.ftruncate(fd, 100)
    with mmap.mmap(fd, 100) as mapping:
        equal(mapping[:100], b"x" * 100, "a mapping of a file that was cut shows what is left")
    os.ftruncate(fd, PAGE)
    equal(os.pread(fd, PAGE, 0), b"x" * 100 + bytes(PAGE - 100), "what was cut off reads as zeros")
    os.close(fd)


def holes():
    """Stores to pages of a hole allocate them; reading a hole gives zeros."""
    fd = os.open(at("hole"), os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 1 << 30)
    with mmap.mmap(fd, 1 << 30) as mapping:
        equal(mapping[12345:12445], bytes(100), "a mapped hole reads as zeros")
        for i in range(0, 1 << 30, 1 << 24):
            mapping[i:i + 4] = b"hole"
        mapping.flush()
    ok(all(os.pread(fd, 5, i) == b"hole\0" for i in range(0, 1 << 30, 1 << 24)), "stores to a mapped hole are in the file after msync")
    os.close(fd)


def large_and_random():
    rng = random.Random(int(sys.argv[3]))
    print(f"SEED={sys.argv[3]}")
    size = 8 << 20
    image = bytearray(rng.randbytes(size))
    write_file(at("random"), image)
    fd = os.open(at("random"), os.O_RDWR)
    with mmap.mmap(fd, size) as mapping:
        good = True
        for _ in range(5000):
            offset, length = rng.randrange(size - 5000), rng.randrange(1, 5000)
            if rng.random() < 0.5:
                data = rng.randbytes(length)
                image[offset:offset + length] = data
                if rng.random() < 0.5:
                    mapping[offset:offset + length] = data
                else:
                    os.pwrite(fd, data, offset)
            else:
                seen = mapping[offset:offset + length] if rng.random() < 0.5 else os.pread(fd, length, offset)
                good &= seen == bytes(image[offset:offset + length])
        ok(good, "stores, writes, loads and reads at random agree")
        mapping.flush()
    os.close(fd)
    write_file(at("random.digest"), bytes(image))


def after_remount():
    ok(read_file(at("random")) == read_file(at("random.digest")), "what was stored through a mapping is there after a remount")
    equal(read_file(at("turns"))[:8], (192).to_bytes(8, "little"), "what two processes stored is there after a remount")
    ok(read_file(at("shared"))[LENGTH:LENGTH + 5] == b"GROWN", "a store to the grown part is there after a remount")


if sys.argv[2] == "make":
    os.mkdir(base)
    run_cases([shared_with_read_and_write, private_mapping, between_processes, beyond_the_end, holes, large_and_random])
else:
    run_cases([after_remount])
