"""Random operations on one file by every way there is to read and change it, compared with a copy in memory. Arguments: directory, seed."""
import errno
import mmap
import os
import random
import sys

from checks import *

# An ordinary directory, to try this program itself: its filesystem need not know every mode of fallocate.
plain = "NVMFS_TEST_DIR" in os.environ
seed = int(sys.argv[2])
print(f"SEED={seed}")

SECTOR = 512
LENGTHS = [10, 100, 5000, 70_000, 300_000]
COMPARE_EVERY = 20
REMEMBERED = 25


class Wrong(Exception):
    """The file is not what it should be."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


class Exerciser:
    def __init__(self, path, limit, rng):
        """`limit`: largest size of the file in bytes."""
        self.path, self.limit, self.rng = path, limit, rng
        self.wanted = bytearray()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.direct = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.aligned = mmap.mmap(-1, max(LENGTHS) + SECTOR)
        self.done = []
        operations = [(self.write, 3), (self.append, 1), (self.read, 1), (self.write_direct, 1), (self.read_direct, 1),
                      (self.write_mapping, 2), (self.read_mapping, 1), (self.truncate, 2), (self.allocate, 1),
                      (self.allocate_beyond, 1), (self.punch, 1), (self.zero, 0 if plain else 1), (self.copy, 1), (self.sync, 1),
                      (self.reopen, 1), (self.drop_cache, 1), (self.seek, 1)]
        self.operations = [operation for operation, weight in operations for _ in range(weight)]

    def run(self, count):
        for number in range(count):
            operation = self.rng.choice(self.operations)
            offset = self.rng.randrange(self.limit)
            length = min(1 + self.rng.randrange(self.rng.choice(LENGTHS)), self.limit - offset)
            self.done = self.done[-REMEMBERED:] + [f"{operation.__name__}({offset:#x}, {length:#x})"]
            try:
                operation(offset, length)
                if number % COMPARE_EVERY == 0 or number == count - 1:
                    self.compare()
            except (Wrong, OSError) as error:
                for line in self.done:
                    print(line)
                return f"operation {number}: {error}"
        return None

    def compare(self):
        expect(os.fstat(self.file).st_size == len(self.wanted), f"size {os.fstat(self.file).st_size}, wanted {len(self.wanted)}")
        position = 0
        while position < len(self.wanted):
            part = os.pread(self.file, 1 << 20, position)
            expect(part, f"read ends at {position:#x} of {len(self.wanted):#x}")
            if part != self.wanted[position:position + len(part)]:
                bad = next(i for i, byte in enumerate(part) if byte != self.wanted[position + i])
                raise Wrong(f"differs at {position + bad:#x} of {len(self.wanted):#x}")
            position += len(part)

    def put(self, offset, data):
        self.grow(offset + len(data))
        self.wanted[offset:offset + len(data)] = data

    def grow(self, size):
        self.wanted.extend(bytes(max(0, size - len(self.wanted))))

    def clear(self, offset, length):
        end = min(offset + length, len(self.wanted))
        if end > offset:
            self.wanted[offset:end] = bytes(end - offset)

    def write(self, offset, length):
        data = self.rng.randbytes(length)
        expect(os.pwrite(self.file, data, offset) == length, "short write")
        self.put(offset, data)

    def append(self, _, length):
        if len(self.wanted) + length > self.limit:
            return
        data = self.rng.randbytes(length)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        expect(os.write(fd, data) == length, "short append")
        os.close(fd)
        self.wanted.extend(data)

    def read(self, offset, length):
        expect(os.pread(self.file, length, offset) == self.wanted[offset:offset + length], "read differs")

    def write_direct(self, offset, length):
        offset, length = offset - offset % SECTOR, max(SECTOR, length - length % SECTOR)
        data = self.rng.randbytes(length)
        self.aligned[:length] = data
        expect(os.pwritev(self.direct, [memoryview(self.aligned)[:length]], offset) == length, "short direct write")
        self.put(offset, data)

    def read_direct(self, offset, length):
        offset, length = offset - offset % SECTOR, max(SECTOR, length - length % SECTOR)
        found = os.preadv(self.direct, [memoryview(self.aligned)[:length]], offset)
        expect(self.aligned[:found] == self.wanted[offset:offset + length], "direct read differs")

    def mapped(self, offset, length):
        """A mapping of the pages of the range, the offset of the range in it, and how much of it is inside the file."""
        offset = offset % len(self.wanted)
        length = min(length, len(self.wanted) - offset)
        start = offset - offset % mmap.PAGESIZE
        return mmap.mmap(self.file, offset + length - start, offset=start), offset - start, offset, length

    def write_mapping(self, offset, length):
        if not self.wanted:
            return
        mapping, at, offset, length = self.mapped(offset, length)
        data = self.rng.randbytes(length)
        mapping[at:at + length] = data
        self.put(offset, data)
        if self.rng.random() < 0.3:
            mapping.flush()
        mapping.close()

    def read_mapping(self, offset, length):
        if not self.wanted:
            return
        mapping, at, offset, length = self.mapped(offset, length)
        expect(mapping[at:at + length] == self.wanted[offset:offset + length], "mapping differs")
        mapping.close()

    def truncate(self, size, _):
        os.ftruncate(self.file, size)
        del self.wanted[size:]
        self.grow(size)

    def allocate(self, offset, length):
        fallocate(self.file, 0, offset, length)
        self.grow(offset + length)

    def allocate_beyond(self, offset, length):
        fallocate(self.file, KEEP_SIZE, offset, length)

    def punch(self, offset, length):
        fallocate(self.file, PUNCH_HOLE | KEEP_SIZE, offset, length)
        self.clear(offset, length)

    def zero(self, offset, length):
        keep = self.rng.random() < 0.5
        fallocate(self.file, ZERO_RANGE | (KEEP_SIZE if keep else 0), offset, length)
        if not keep:
            self.grow(offset + length)
        self.clear(offset, length)

    def copy(self, offset, length):
        if length >= len(self.wanted):
            return
        source = self.rng.randrange(len(self.wanted) - length)
        if source < offset + length and offset < source + length:
            return
        done = 0
        while done < length:
            count = os.copy_file_range(self.file, self.file, length - done, source + done, offset + done)
            expect(count > 0, "copy_file_range copies nothing")
            done += count
        self.put(offset, self.wanted[source:source + length])

    def sync(self, *_):
        os.fsync(self.file)

    def reopen(self, *_):
        os.close(self.file)
        self.file = os.open(self.path, os.O_RDWR)

    def drop_cache(self, *_):
        os.fsync(self.file)
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)

    def seek(self, *_):
        """Outside of what SEEK_DATA finds there are only zero bytes."""
        position = 0
        while position < len(self.wanted):
            try:
                data = os.lseek(self.file, position, os.SEEK_DATA)
            except OSError as error:
                expect(error.errno == errno.ENXIO, f"SEEK_DATA: {error}")
                data = len(self.wanted)
            expect(data >= position and not any(self.wanted[position:data]), f"SEEK_DATA misses data after {position:#x}")
            if data < len(self.wanted):
                hole = os.lseek(self.file, data, os.SEEK_HOLE)
                expect(hole > data, f"SEEK_HOLE finds {hole:#x} after data at {data:#x}")
                data = hole
            position = data


def exercise(limit, count):
    def case():
        path = os.path.join(sys.argv[1], f"contents-{limit}")
        problem = Exerciser(path, limit, random.Random(seed)).run(count)
        ok(problem is None, f"{count} operations on a file of up to {limit} bytes agree with a copy in memory", problem)
    return case


run_cases([exercise(100_000, 4000), exercise(1_000_000, 3000), exercise(12_000_000, 500)])
