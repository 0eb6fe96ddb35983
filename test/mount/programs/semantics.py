"""What Linux says of single system calls, on a mount: ids, devices, times, whiteouts, limits, temporary files, locks, notifications."""
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys

from checks import KEEP_SIZE, RENAME_EXCHANGE, equal, fails, fallocate, libc, link_fd, ok, read_file, renameat2, run_cases, write_file

RENAME_WHITEOUT = 4
O_TMPFILE = 0o20200000
base = os.path.join(sys.argv[1], "semantics")
elsewhere = sys.argv[2]
os.mkdir(base)
os.chdir(base)


class Statx(ctypes.Structure):
    _fields_ = [("mask", ctypes.c_uint32), ("blksize", ctypes.c_uint32), ("attributes", ctypes.c_uint64), ("nlink", ctypes.c_uint32),
                ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("mode", ctypes.c_uint16), ("pad", ctypes.c_uint16), ("ino", ctypes.c_uint64),
                ("size", ctypes.c_uint64), ("blocks", ctypes.c_uint64), ("attributes_mask", ctypes.c_uint64)] + \
               [(n, ctypes.c_int64 * 2) for n in ("atime", "btime", "ctime", "mtime")] + [("rest", ctypes.c_uint8 * 128)]


def statx(path):
    result = Statx()
    if libc.statx(-100, os.fsencode(path), 0, 0xfff, ctypes.byref(result)) != 0:
        raise OSError(ctypes.get_errno(), "statx")
    return result


def nanoseconds(pair):
    return pair[0] * 10**9 + (pair[1] & 0xffffffff)


def child(function):
    """Runs the function in a process of its own; returns its exit status, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(function() or 0)
        except BaseException:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ids():
    write_file("owned", b"x")
    for uid, gid in [(0xfffffffe, 0xfffffffe), (70000, 3000000000), (0, 0)]:
        os.chown("owned", uid, gid)
        equal((os.stat("owned").st_uid, os.stat("owned").st_gid), (uid, gid), f"a file can belong to {uid}:{gid}")
    os.chown("owned", 5, -1)
    os.chown("owned", -1, 6)
    equal((os.stat("owned").st_uid, os.stat("owned").st_gid), (5, 6), "chown with -1 leaves the other id")
    os.mkdir("open")
    os.chmod("open", 0o777)

    def make():
        os.setgroups([])
        os.setresgid(3000000001, 3000000001, 3000000001)
        os.setresuid(4000000000, 4000000000, 4000000000)
        os.mkdir("open/dir")
        os.mknod("open/fifo", stat.S_IFIFO | 0o600)
        os.symlink("x", "open/link")
        os.close(os.open("open", O_TMPFILE | os.O_RDWR, 0o600))
        write_file("open/file", b"mine")
    equal(child(make), 0, "a user with large ids makes files")
    equal({(os.lstat(f"open/{n}").st_uid, os.lstat(f"open/{n}").st_gid) for n in ("dir", "fifo", "link", "file")}, {(4000000000, 3000000001)}, "and they belong to it")


def devices():
    for kind, name in ((stat.S_IFCHR, "c"), (stat.S_IFBLK, "b")):
        for major, minor in ((1, 3), (0, 0), (255, 255), (4095, 1048575), (256, 256), (4095, 0), (0, 1048575)):
            os.mknod(name, kind | 0o600, os.makedev(major, minor))
            found = os.stat(name)
            equal((os.major(found.st_rdev), os.minor(found.st_rdev), stat.S_IFMT(found.st_mode)), (major, minor, kind), f"device {major}:{minor} {name}")
            equal((statx(name).rest[0] | statx(name).rest[1] << 8), major & 0xffff, f"statx of device {major}:{minor}")
            os.unlink(name)
    os.mknod("zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    fd = os.open("zero", os.O_RDWR)
    equal((os.read(fd, 5), os.write(fd, b"abc")), (bytes(5), 3), "a character device is used through its node")
    os.close(fd)
    os.mknod("none", stat.S_IFBLK | 0o600, os.makedev(4000, 77))
    fails(errno.ENXIO, "a block device without a driver", os.open, "none", os.O_RDONLY)
    os.mkfifo("fifo")
    pid = os.fork()
    if pid == 0:
        write_file("fifo", b"through the fifo")
        os._exit(0)
    equal(read_file("fifo"), b"through the fifo", "a fifo joins two processes")
    os.waitpid(pid, 0)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    connection, _ = server.accept()
    client.send(b"hello")
    equal((connection.recv(9), stat.S_ISSOCK(os.stat("socket").st_mode)), (b"hello", True), "a socket is bound and connected to")
    fails(errno.ENXIO, "a socket is not opened", os.open, "socket", os.O_RDONLY)


def times():
    write_file("timed", b"x")
    born = nanoseconds(statx("timed").btime)
    for seconds in (0, 1, -1, -2**31 - 1, 2**31, 2**32 + 5, 4 * 2**32, 2**40, -2**40):
        for nano in (0, 1, 999999999):
            moment = seconds * 10**9 + nano
            os.utime("timed", ns=(moment, moment + 10**9))
            found = os.stat("timed")
            equal((found.st_atime_ns, found.st_mtime_ns), (moment, moment + 10**9), f"utimensat {seconds}.{nano:09}")
    shown = statx("timed")
    equal(nanoseconds(shown.btime), born, "the time of birth stays")
    ok(shown.mask & 0x800 and born > 1.7e18, "statx shows the time of birth")
    ok(os.stat("timed").st_ctime_ns >= born, "setting times sets ctime to now")
    timespec = struct.Struct("qq")
    NOW, OMIT = 2**30 - 1, 2**30 - 2

    def utimensat(first, second, flags=0, path=b"timed"):
        buffer = timespec.pack(*first) + timespec.pack(*second)
        if libc.utimensat(-100, path, buffer, flags) != 0:
            raise OSError(ctypes.get_errno(), "utimensat")
    utimensat((5, 6), (7, 8))
    utimensat((0, OMIT), (9, 10))
    equal((os.stat("timed").st_atime_ns, os.stat("timed").st_mtime_ns), (5 * 10**9 + 6, 9 * 10**9 + 10), "UTIME_OMIT leaves atime")
    utimensat((0, NOW), (0, OMIT))
    ok(os.stat("timed").st_atime_ns > 1.7e18 and os.stat("timed").st_mtime_ns == 9 * 10**9 + 10, "UTIME_NOW sets atime alone")
    before = os.stat("timed").st_ctime_ns
    utimensat((0, OMIT), (0, OMIT))
    equal(os.stat("timed").st_ctime_ns, before, "UTIME_OMIT twice changes nothing")
    fails(errno.EINVAL, "a billion nanoseconds", utimensat, (0, 10**9), (0, 0))
    os.symlink("timed", "symlink")
    utimensat((1, 2), (3, 4), 0x100, b"symlink")
    equal((os.lstat("symlink").st_mtime_ns, os.stat("timed").st_mtime_ns), (3 * 10**9 + 4, 9 * 10**9 + 10), "a symbolic link has times of its own")
    utimensat((2**62, 0), (-2**62, 0))
    equal((os.stat("timed").st_atime_ns // 10**9, os.stat("timed").st_mtime_ns // 10**9), (2**53 - 1, 1 - 2**53), "seconds beyond 2^53 become the nearest there are")

    os.mkdir("parent")
    os.utime("parent", ns=(1, 1))
    changes = [("create", lambda: write_file("parent/a", b"")), ("link", lambda: os.link("parent/a", "parent/b")), ("rename", lambda: os.rename("parent/b", "parent/c")),
               ("unlink", lambda: os.unlink("parent/c")), ("mkdir", lambda: os.mkdir("parent/d")), ("rmdir", lambda: os.rmdir("parent/d")),
               ("symlink", lambda: os.symlink("x", "parent/l")), ("mknod", lambda: os.mkfifo("parent/f"))]
    for what, change in changes:
        os.utime("parent", ns=(1, 1))
        change()
        found = os.stat("parent")
        ok(found.st_mtime_ns > 1.7e18 and found.st_ctime_ns >= found.st_mtime_ns - 10**9, f"{what} sets mtime and ctime of the directory")


def access_times():
    write_file("read", b"x" * 100)
    os.utime("read", ns=(10**9, 2 * 10**9))

    def read(flags):
        fd = os.open("read", os.O_RDONLY | flags)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.read(fd, 100)
        os.close(fd)
        return os.stat("read").st_atime_ns
    equal(read(os.O_NOATIME), 10**9, "O_NOATIME leaves the access time")
    ok(read(0) > 1.7e18, "an access time before the last change follows a read (relatime)")
    fd = os.open(".", os.O_RDONLY | os.O_NOATIME | os.O_DIRECTORY)
    os.utime(".", ns=(10**9, 2 * 10**9))
    os.listdir(fd)
    equal(os.stat(".").st_atime_ns, 10**9, "O_NOATIME leaves that of a directory")
    os.close(fd)

    def foreign():
        os.setresuid(12345, 12345, 12345)
        try:
            os.open("read", os.O_RDONLY | os.O_NOATIME)
        except PermissionError:
            return 7
    equal(child(foreign), 7, "O_NOATIME is for the owner")


def whiteouts():
    os.mkdir("w")
    write_file("w/a", b"a")
    write_file("w/b", b"b")
    renameat2("w/a", "w/c", RENAME_WHITEOUT)
    found = os.lstat("w/a")
    equal((stat.S_IFMT(found.st_mode), found.st_rdev, read_file("w/c")), (stat.S_IFCHR, 0, b"a"), "RENAME_WHITEOUT leaves a device 0,0")
    renameat2("w/b", "w/c", RENAME_WHITEOUT)
    equal((os.lstat("w/b").st_rdev, stat.S_ISCHR(os.lstat("w/b").st_mode), read_file("w/c")), (0, True, b"b"), "also when it replaces")
    fails(errno.EINVAL, "RENAME_WHITEOUT with RENAME_EXCHANGE", renameat2, "w/b", "w/c", RENAME_WHITEOUT | RENAME_EXCHANGE)
    equal(sorted(os.listdir("w")), ["a", "b", "c"], "the names are there")


def limits():
    longest, too_long = "n" * 255, "n" * 256
    write_file("file", b"x")
    calls = [("stat", os.stat), ("open", lambda n: os.open(n, os.O_RDONLY)), ("create", lambda n: write_file(n, b"")), ("mkdir", os.mkdir), ("mkfifo", os.mkfifo),
             ("symlink", lambda n: os.symlink("x", n)), ("link", lambda n: os.link("file", n)), ("rename to", lambda n: os.rename("file", n)),
             ("rename from", lambda n: os.rename(n, "other")), ("unlink", os.unlink), ("rmdir", os.rmdir), ("readlink", os.readlink),
             ("exchange", lambda n: renameat2("file", n, RENAME_EXCHANGE)), ("whiteout", lambda n: renameat2("file", n, RENAME_WHITEOUT)), ("truncate", lambda n: os.truncate(n, 0)),
             ("chmod", lambda n: os.chmod(n, 0)), ("a directory of that name", lambda n: os.stat(f"{n}/x"))]
    for what, call in calls:
        fails(errno.ENAMETOOLONG, f"{what}: a name of 256 bytes", call, too_long)
        fails(errno.ENAMETOOLONG, f"{what}: a name of 1500 bytes", call, "n" * 1500)
    write_file(longest, b"y")
    equal(os.listdir(".").count(longest), 1, "a name of 255 bytes")
    os.symlink("t" * 4095, "target")
    equal(len(os.readlink("target")), 4095, "a target of 4095 bytes")
    fails(errno.ENAMETOOLONG, "a target of 4096 bytes", os.symlink, "t" * 4096, "target2")
    os.symlink("loop2", "loop1")
    os.symlink("loop1", "loop2")
    fails(errno.ELOOP, "links that lead to each other", os.stat, "loop1")
    fails(errno.ELOOP, "O_NOFOLLOW of a link", os.open, "loop1", os.O_RDONLY | os.O_NOFOLLOW)
    os.makedirs("dot/sub")
    fails(errno.EINVAL, "rmdir of .", os.rmdir, "dot/sub/.")
    fails(errno.ENOTEMPTY, "rmdir of ..", os.rmdir, "dot/sub/..")
    fails(errno.EBUSY, "rename of .", os.rename, "dot/sub/.", "dot/other")
    equal((os.stat("dot/sub/..").st_ino, os.stat("dot/.").st_ino, os.stat("dot").st_nlink), (os.stat("dot").st_ino, os.stat("dot").st_ino, 3), ". and .. and link counts")


def sizes():
    fd = os.open("big", os.O_RDWR | os.O_CREAT)
    end = 2**53 - 1
    equal(os.pwrite(fd, b"0123456789", end - 4), 4, "a write across the largest size is short")
    equal(os.fstat(fd).st_size, end, "the largest file")
    for offset in (end, 2**53, 2**60, 2**63 - 100):
        fails(errno.EFBIG, f"a write at {offset}", os.pwrite, fd, b"x", offset)
    fails(errno.EFBIG, "ftruncate beyond", os.ftruncate, fd, 2**53)
    fails(errno.EFBIG, "fallocate beyond", fallocate, fd, 0, end, 1)
    equal((os.pread(fd, 10, end - 4), os.pread(fd, 10, end), os.pread(fd, 10, 2**60)), (b"0123", b"", b""), "reading at the end and beyond")
    fails(errno.ENXIO, "SEEK_DATA beyond", os.lseek, fd, 2**60, os.SEEK_DATA)
    direct = os.open("big", os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4096)
    equal(os.preadv(direct, [buffer], 2**60), 0, "direct reading beyond")
    os.close(direct)
    for mode in (8, 0x20, 0x40, 3 | 0x10, 2):
        fails(errno.EOPNOTSUPP, f"fallocate mode 0x{mode:x}", fallocate, fd, mode, 0, 4096)
    fallocate(fd, KEEP_SIZE, 0, 4096)

    def limited(call):
        def run():
            resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
            file = os.open("limited", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            return call(file)
        return run
    equal(child(limited(lambda file: os.pwrite(file, bytes(200), 9900))), 100, "RLIMIT_FSIZE cuts a write")
    for what, call in (("write", lambda file: os.pwrite(file, b"x", 10000)), ("truncate", lambda file: os.ftruncate(file, 10001)), ("fallocate", lambda file: fallocate(file, 0, 0, 10001))):
        def ignored(file, call=call):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            try:
                call(file)
            except OSError as error:
                return error.errno

        def fatal(file, call=call):
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            call(file)
        equal(child(limited(ignored)), errno.EFBIG, f"RLIMIT_FSIZE: {what} gives EFBIG")
        equal(child(limited(fatal)), -signal.SIGXFSZ, f"RLIMIT_FSIZE: {what} gives SIGXFSZ")


def temporary():
    fd = os.open(".", O_TMPFILE | os.O_RDWR, 0o640)
    equal((os.fstat(fd).st_nlink, os.fstat(fd).st_mode & 0o7777), (0, 0o640), "O_TMPFILE has no name")
    os.write(fd, b"named later")
    link_fd(fd, "given")
    equal((read_file("given"), os.fstat(fd).st_nlink), (b"named later", 1), "and gets one")
    os.close(fd)
    fd = os.open(".", O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o640)
    fails(errno.ENOENT, "with O_EXCL it never gets one", link_fd, fd, "never")
    os.close(fd)
    write_file("gone", b"still there")
    fd = os.open("gone", os.O_RDWR)
    os.unlink("gone")
    equal((os.fstat(fd).st_nlink, os.pread(fd, 99, 0)), (0, b"still there"), "an open file outlives its name")
    os.ftruncate(fd, 5)
    os.pwrite(fd, b"!" * 100000, 5)
    equal(os.fstat(fd).st_size, 100005, "and is changed")
    fails(errno.ENOENT, "and gets no other name", link_fd, fd, "again")
    os.close(fd)
    os.mkdir("dead")
    fd = os.open("dead", os.O_RDONLY)
    os.rmdir("dead")
    fails(errno.ENOENT, "nothing is made in a removed directory", os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    equal(os.listdir(fd), [], "a removed directory is empty")
    os.close(fd)


def copies():
    data = os.urandom(3000000)
    write_file("source", data)
    source = os.open("source", os.O_RDWR)
    target = os.open("copy", os.O_RDWR | os.O_CREAT)

    def copy(out, length, from_, to):
        done = 0
        while done < length:
            count = os.copy_file_range(source, out, length - done, from_ + done, to + done)
            if count == 0:
                break
            done += count
        return done
    equal((copy(target, 3000000, 0, 0), read_file("copy") == data), (3000000, True), "copy_file_range of 3 MB")
    equal(copy(target, 100, 2999950, 10), 50, "it ends at the end of the source")
    fails(errno.EINVAL, "overlapping ranges of one file", os.copy_file_range, source, source, 1000, 0, 500)
    equal(copy(source, 1000, 0, 5000), 1000, "ranges of one file")
    other = os.open(os.path.join(elsewhere, "copied"), os.O_RDWR | os.O_CREAT)
    equal((copy(other, 3000000, 0, 0), read_file(os.path.join(elsewhere, "copied")) == read_file("source")), (3000000, True), "to another volume, by the kernel")
    os.set_blocking(other, True)
    for fd in (source, target, other):
        os.close(fd)


def appending():
    def writer(letter):
        fd = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for i in range(300):
            os.write(fd, f"{letter}{i:06}\n".encode() * 5)
        os._exit(0)
    children = []
    for letter in "abcd":
        pid = os.fork()
        if pid == 0:
            writer(letter)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    lines = read_file("log").split()
    equal(len(lines), 6000, "four appending writers lose nothing")
    for letter in b"abcd":
        mine = [int(line[1:]) for line in lines if line[0] == letter]
        equal(mine, sorted(mine), f"and {chr(letter)} is in order")
    equal({lines[i:i + 5].count(lines[i]) for i in range(0, 6000, 5)}, {5}, "no write is torn")


def locks():
    write_file("lock", b"x" * 100)
    first, second = os.open("lock", os.O_RDWR), os.open("lock", os.O_RDWR)
    fcntl.flock(first, fcntl.LOCK_EX)
    fails(errno.EAGAIN, "flock excludes", fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid = os.fork()
    if pid == 0:
        fd = os.open("lock", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 10)
        os._exit(0)
    write_file("meanwhile", b"x")
    equal(read_file("meanwhile"), b"x", "a lock that is waited for stops nobody else")
    fcntl.lockf(first, fcntl.LOCK_EX, 20, 0)
    fcntl.flock(first, fcntl.LOCK_UN)
    write_file("meanwhile", b"y")
    fcntl.lockf(first, fcntl.LOCK_UN, 20, 0)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "and is given when it is free")

    def contender():
        fd = os.open("lock", os.O_RDWR)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        except OSError as error:
            return error.errno
    fcntl.lockf(first, fcntl.LOCK_EX, 10, 0)
    equal(child(contender), errno.EAGAIN, "fcntl locks of bytes exclude")
    for fd in (first, second):
        os.close(fd)


def notifications():
    os.mkdir("watched")
    inotify = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(inotify, b"watched", 0xfff)

    def events():
        found = []
        while select.select([inotify], [], [], 0.2)[0]:
            data = os.read(inotify, 65536)
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                found.append((mask & 0xfff, data[16:16 + length].rstrip(b"\0").decode()))
                data = data[16 + length:]
        return found
    write_file("watched/a", b"x")
    os.rename("watched/a", "watched/b")
    os.chmod("watched/b", 0o600)
    os.unlink("watched/b")
    found = events()
    for event in ((0x100, "a"), (0x2, "a"), (0x8, "a"), (0x40, "a"), (0x80, "b"), (0x4, "b"), (0x200, "b")):
        ok(event in found, f"inotify tells of 0x{event[0]:x} {event[1]}", found)
    os.close(inotify)


def mappings():
    write_file("mapped", bytes(10000))
    fd = os.open("mapped", os.O_RDWR)
    with mmap.mmap(fd, 10000) as shared, mmap.mmap(fd, 10000, mmap.MAP_PRIVATE) as private:
        shared[5000:5005] = b"store"
        equal(os.pread(fd, 5, 5000), b"store", "a store through a shared mapping is read")
        os.pwrite(fd, b"write", 100)
        equal((shared[100:105], private[100:105]), (b"write", b"write"), "what is written is seen in mappings")
        private[100:105] = b"quiet"
        equal((shared[100:105], os.pread(fd, 5, 100)), (b"write", b"write"), "a private mapping changes nothing")
        shared.flush()
        direct = os.open("mapped", os.O_RDONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, 8192)
        os.preadv(direct, [buffer], 4096)
        equal(buffer[904:909], b"store", "after msync direct I/O reads it")
        os.close(direct)
        os.ftruncate(fd, 4000)
        os.ftruncate(fd, 10000)
        equal(shared[5000:5005], bytes(5), "what truncate cut off is gone from mappings")
    os.close(fd)
    fd = os.open("mapped", os.O_RDWR | os.O_DIRECT)
    odd = os.urandom(777)
    equal((os.pwrite(fd, odd, 333), os.pread(fd, 777, 333)), (777, odd), "direct I/O of any alignment")
    os.close(fd)


run_cases([ids, devices, times, access_times, whiteouts, limits, sizes, temporary, copies, appending, locks, notifications, mappings])
