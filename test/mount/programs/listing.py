"""Several processes read a directory, each in its own way, while others make and remove names in it: what was there all the time is listed exactly once."""
import ctypes
import os
import random
import sys
import time

from checks import equal, libc, ok, run_cases, write_file

directory, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
base = os.path.join(directory, "listing")
os.mkdir(base)
STEADY = [f"steady-{i:04}" for i in range(1500)]


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16), ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = libc.closedir.argtypes = libc.rewinddir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


def entry(stream):
    found = libc.readdir(stream)
    return (found.contents.name.decode(), found.contents.type) if found else None


def rest(stream):
    names = []
    while (found := entry(stream)) is not None:
        names.append(found[0])
    return names


def complain(text):
    print(text, file=sys.stderr, flush=True)
    os._exit(1)


def changer(generator, number, end):
    names = set()
    while time.monotonic() < end:
        name = os.path.join(base, f"moving-{number}-{generator.randrange(400)}")
        if name in names:
            other = name + "x"
            if generator.random() < 0.3 and other not in names:
                os.rename(name, other)
                names.add(other)
            else:
                os.unlink(name)
            names.discard(name)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            names.add(name)


def complete(names, how):
    counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    wrong = [name for name in STEADY + [".", ".."] if counts.get(name) != 1]
    if wrong:
        complain(f"{how}: {len(wrong)} names that were there all the time are not listed once: {wrong[:3]}, {counts.get(wrong[0])}")


def reader(generator, end):
    rounds = 0
    while time.monotonic() < end or rounds == 0:
        rounds += 1
        stream = libc.opendir(os.fsencode(base))
        complete(rest(stream), "a pass")
        libc.rewinddir(stream)
        complete(rest(stream), "a pass after rewinddir")
        # Pieces: positions are told while names come and go, and gone back to later.
        libc.rewinddir(stream)
        places, seen = [], []
        while True:
            places.append((len(seen), libc.telldir(stream)))
            piece = [entry(stream) for _ in range(generator.randrange(1, 200))]
            seen += [found[0] for found in piece if found is not None]
            if piece[-1] is None:
                break
            if generator.random() < 0.1:
                time.sleep(0.01)
        complete(seen, "a pass in pieces")
        for before, place in generator.sample(places, min(5, len(places))):
            libc.seekdir(stream, place)
            after = rest(stream)
            steady_after = [name for name in after if name.startswith("steady")]
            wanted = [name for name in seen[before:] if name.startswith("steady")]
            if steady_after != wanted:
                complain(f"seekdir to a place told before gives {len(steady_after)} steady names, not the {len(wanted)} that followed it")
        libc.closedir(stream)


def concurrent():
    for name in STEADY:
        write_file(os.path.join(base, name), b"")
    end = time.monotonic() + seconds
    children = []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            generator = random.Random(seed * 10 + number)
            try:
                if number < 2:
                    changer(generator, number, end)
                else:
                    reader(generator, end)
            except BaseException as error:
                complain(repr(error))
            os._exit(0)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    equal(codes, [0] * 6, "four readers list 1500 steady names exactly once while two writers make, rename and remove others")


def types():
    os.chdir(directory)
    os.mkdir("types")
    os.mkdir("types/dir")
    write_file("types/file", b"")
    os.symlink("x", "types/link")
    os.mkfifo("types/fifo")
    os.mknod("types/char", 0o020600, os.makedev(1, 3))
    os.mknod("types/block", 0o060600, os.makedev(7, 0))
    os.mknod("types/socket", 0o140600)
    stream = libc.opendir(b"types")
    found = {}
    while (one := entry(stream)) is not None:
        found[one[0]] = one[1]
    libc.closedir(stream)
    equal(found, {".": 4, "..": 4, "dir": 4, "file": 8, "link": 10, "fifo": 1, "char": 2, "block": 6, "socket": 12}, "d_type")


def removal_while_reading():
    os.chdir(directory)
    os.mkdir("emptied")
    for i in range(5000):
        write_file(f"emptied/{i}", b"")
    stream = libc.opendir(b"emptied")
    removed = 0
    while (one := entry(stream)) is not None:
        if one[0] in (".", ".."):
            continue
        os.unlink(f"emptied/{one[0]}")
        removed += 1
        if removed % 1000 == 0:
            os.listdir("emptied")  # another reader fills the kernel's cache meanwhile
    libc.closedir(stream)
    equal((removed, os.listdir("emptied")), (5000, []), "removing every entry as it is read empties a directory")
    os.rmdir("emptied")
    ok(not os.path.exists("emptied"), "which can be removed then")


run_cases([types, removal_while_reading, concurrent])
