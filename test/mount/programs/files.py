"""Contents of files in the directory given: append, temporary, unlinked, preallocated, copied."""
import errno
import mmap
import os
import random
import stat
import sys

from checks import *

# An ordinary directory, to try this program itself: its filesystem may know more modes than FUSE passes on.
plain = "NVMFS_TEST_DIR" in os.environ
base = os.path.join(sys.argv[1], "files")
os.mkdir(base)
seed = int(sys.argv[2])
print(f"SEED={seed}")
rng = random.Random(seed)


def at(name):
    return os.path.join(base, name)


def append_by_several_processes():
    path = at("append")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    writers, records, size = 4, 500, 120
    pids = []
    for writer in range(writers):
        pid = os.fork()
        if pid == 0:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            for record in range(records):
                line = f"{writer:02d} {record:06d} ".encode().ljust(size - 1, b"abcd"[writer:writer + 1]) + b"\n"
                if os.write(fd, line) != size:
                    os._exit(1)
            os._exit(0)
        pids.append(pid)
    equal([os.waitpid(pid, 0)[1] for pid in pids], [0] * writers, "O_APPEND writers end well")
    data = read_file(path)
    equal(len(data), writers * records * size, "O_APPEND by several processes loses no record")
    seen = {w: [] for w in range(writers)}
    whole = True
    for at_byte in range(0, len(data), size):
        line = data[at_byte:at_byte + size]
        writer = int(line[:2])
        seen[writer].append(int(line[3:9]))
        whole &= line[10:-1] == b"abcd"[writer:writer + 1] * (size - 11) and line[-1:] == b"\n"
    ok(whole, "O_APPEND records of several processes are not mixed")
    ok(all(seen[w] == list(range(records)) for w in range(writers)), "O_APPEND keeps each process's order")


def temporary_file():
    fd = os.open(base, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"temporary")
    equal(os.fstat(fd).st_nlink, 0, "an O_TMPFILE file has no name")
    equal(os.listdir(base).count("named"), 0, "an O_TMPFILE file is in no directory")
    link_fd(fd, at("named"))
    os.close(fd)
    equal(read_file(at("named")), b"temporary", "linkat gives an O_TMPFILE file its name")
    equal(stat.S_IMODE(os.stat(at("named")).st_mode), 0o640, "and keeps its mode")
    fd = os.open(base, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x" * 100000)
    os.close(fd)  # the verify at the end of the test finds it if it leaks


def unlinked_but_open():
    path = at("unlinked")
    write_file(path, b"before")
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    equal(os.fstat(fd).st_nlink, 0, "an unlinked open file has no links")
    os.pwrite(fd, b"after" * 10000, 100000)
    os.ftruncate(fd, 120000)
    equal(os.pread(fd, 6, 0), b"before", "an unlinked open file can be read")
    equal(os.pread(fd, 20000, 100000), (b"after" * 4000)[:20000], "an unlinked open file can be written and truncated")
    write_file(path, b"another")
    equal(os.pread(fd, 6, 0), b"before", "a new file of the name is another file")
    os.close(fd)
    victim = at("victim")
    write_file(victim, b"victim")
    fd = os.open(victim, os.O_RDONLY)
    os.rename(path, victim)
    equal(os.read(fd, 10), b"victim", "a file replaced by rename lives while it is open")
    os.close(fd)


def preallocation():
    path = at("fallocate")
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fallocate(fd, 0, 0, 1 << 20)
    info = os.fstat(fd)
    equal(info.st_size, 1 << 20, "fallocate extends the size")
    ok(info.st_blocks * 512 >= 1 << 20, "fallocate allocates")
    equal(os.pread(fd, 1 << 20, 0), bytes(1 << 20), "preallocated space reads as zeros")
    fallocate(fd, KEEP_SIZE, 1 << 20, 1 << 20)
    info = os.fstat(fd)
    equal(info.st_size, 1 << 20, "FALLOC_FL_KEEP_SIZE keeps the size")
    ok(info.st_blocks * 512 >= 2 << 20, "FALLOC_FL_KEEP_SIZE allocates beyond the end")
    pattern = rng.randbytes(1 << 20)
    os.pwrite(fd, pattern, 0)
    full = os.fstat(fd).st_blocks
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 100_001, 300_007)
    wanted = pattern[:100_001] + bytes(300_007) + pattern[400_008:]
    equal(os.pread(fd, 1 << 20, 0) == wanted, True, "a punched range reads as zeros and its neighbours are whole")
    ok(os.fstat(fd).st_blocks < full, "punching a hole frees blocks")
    fallocate(fd, ZERO_RANGE, 500_003, 200_001)
    wanted = wanted[:500_003] + bytes(200_001) + wanted[700_004:]
    equal(os.pread(fd, 1 << 20, 0) == wanted, True, "a zeroed range reads as zeros and its neighbours are whole")
    fallocate(fd, ZERO_RANGE | KEEP_SIZE, 1 << 20, 4096)
    equal(os.fstat(fd).st_size, 1 << 20, "FALLOC_FL_ZERO_RANGE with KEEP_SIZE keeps the size")
    if not plain:
        fails(errno.EOPNOTSUPP, "an unknown fallocate mode: EOPNOTSUPP", fallocate, fd, 8, 0, 4096)
    os.close(fd)
    equal(read_file(path) == wanted, True, "the content is the same after closing")


def truncation():
    path = at("truncate")
    pattern = rng.randbytes(300_000)
    write_file(path, pattern)
    os.truncate(path, 123_457)
    os.truncate(path, 250_000)
    equal(read_file(path) == pattern[:123_457] + bytes(250_000 - 123_457), True, "bytes cut off by truncate never come back")
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"end", 299_997)
    equal(os.pread(fd, 49_997, 250_000) == bytes(49_997), True, "the gap before a write beyond the end reads as zeros")
    os.close(fd)
    os.truncate(path, 0)
    equal(os.stat(path).st_blocks, 0, "an empty file holds no blocks")
    fails(errno.EINVAL, "truncate to a negative size: EINVAL", os.truncate, path, -1)
    fails(errno.EFBIG, "a size beyond 2^53 bytes: EFBIG", os.truncate, path, (1 << 53) + 4096)


def copy_between_files():
    source, target = at("source"), at("target")
    pattern = rng.randbytes(3_000_000)
    write_file(source, pattern)
    write_file(target, b"T" * 1_000_000)
    a, b = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR)
    done = 0
    while done < 2_500_000:
        count = os.copy_file_range(a, b, 2_500_000 - done, 12_345 + done, 500_001 + done)
        if count == 0:
            break
        done += count
    equal(done, 2_500_000, "copy_file_range copies what it was asked for")
    wanted = b"T" * 500_001 + pattern[12_345:2_512_345]
    equal(read_file(target) == wanted, True, "copy_file_range copies the bytes and nothing else")
    equal(os.copy_file_range(a, b, 100, 3_000_000, 0), 0, "copy_file_range at the end of the source copies nothing")
    os.close(a)
    os.close(b)


def random_writes_against_a_copy():
    path = at("random")
    image = bytearray()
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    good = True
    for _ in range(3000):
        offset, length = rng.randrange(0, 2_000_000), rng.choice((1, 7, 512, 4096, 4097, 60_000))
        kind = rng.randrange(10)
        if kind < 6:
            data = rng.randbytes(length)
            if len(image) < offset + length:
                image.extend(bytes(offset + length - len(image)))
            image[offset:offset + length] = data
            os.pwrite(fd, data, offset)
        elif kind < 8:
            good &= os.pread(fd, length, offset) == bytes(image[offset:offset + length])
        elif kind < 9:
            size = rng.randrange(0, 2_000_000)
            os.ftruncate(fd, size)
            image = image[:size].ljust(size, b"\0")
        elif len(image) > 0:
            fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
            end = min(offset + length, len(image))
            if offset < end:
                image[offset:end] = bytes(end - offset)
    ok(good, "random reads see exactly what was written")
    equal(os.fstat(fd).st_size, len(image), "the size follows random writes and truncations")
    os.close(fd)
    equal(read_file(path) == bytes(image), True, "a file written, truncated and punched at random has the right content")


def direct_io():
    path = at("direct")
    pattern = rng.randbytes(1 << 20)
    buffer = mmap.mmap(-1, 1 << 20)
    buffer[:] = pattern
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    equal(os.write(fd, buffer), 1 << 20, "O_DIRECT writes")
    other = mmap.mmap(-1, 1 << 20)
    equal(os.preadv(fd, [other], 0), 1 << 20, "O_DIRECT reads")
    ok(other[:] == pattern, "O_DIRECT reads what it wrote")
    cached = os.open(path, os.O_RDWR)
    os.pwrite(cached, b"cached", 8192)
    os.preadv(fd, [memoryview(other)[:4096]], 8192)
    equal(other[:6], b"cached", "O_DIRECT sees a write through the page cache")
    buffer[:6] = b"direct"
    os.pwritev(fd, [memoryview(buffer)[:4096]], 8192)
    equal(os.pread(cached, 6, 8192), b"direct", "the page cache sees an O_DIRECT write")
    os.close(cached)
    os.close(fd)


def fragments():
    """One request for a range of many extents and holes, of which neighbours in the file lie apart on the medium."""
    page, count = 4096, 200
    first, second = os.open(at("fragments"), os.O_RDWR | os.O_CREAT), os.open(at("between"), os.O_RDWR | os.O_CREAT)
    wanted = bytearray(page * count)
    for number in range(count):
        if number % 5 != 4:
            wanted[number * page:(number + 1) * page] = rng.randbytes(page)
            os.pwrite(first, wanted[number * page:(number + 1) * page], number * page)
            os.pwrite(second, b"between" * 100, number * page)
    os.ftruncate(first, page * count)
    direct = os.open(at("fragments"), os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, page * count)
    equal(os.preadv(direct, [buffer], 0), page * count, "O_DIRECT reads a fragmented file in one request")
    ok(buffer[:] == wanted, "and gets every fragment and every hole")
    for fd in (first, second, direct):
        os.close(fd)


run_cases([append_by_several_processes, temporary_file, unlinked_but_open, preallocation, truncation, copy_between_files,
           random_writes_against_a_copy, direct_io, fragments])
