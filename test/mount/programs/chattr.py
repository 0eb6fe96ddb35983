"""Flags of files on a mount: set and shown by ioctl, obeyed by every system call, also through descriptors that were open before."""
import errno
import fcntl
import mmap
import os
import struct
import time
import sys

from checks import KEEP_SIZE, PUNCH_HOLE, equal, fails, fallocate, link_fd, ok, read_file, run_cases, write_file

GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR, GETVERSION = 0x80086601, 0x40086602, 0x801c581f, 0x401c5820, 0x80087601
SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME, DAX, PROJINHERIT = 0x8, 0x10, 0x20, 0x40, 0x80, 0x2000000, 0x20000000
X_DAX, X_NODUMP, X_PROJINHERIT = 0x8000, 0x80, 0x200
base = os.path.join(sys.argv[1], "chattr")
os.makedirs(base, exist_ok=True)
os.chdir(base)


def ioctl(path, number, data):
    fd = os.open(path, os.O_RDONLY)
    try:
        return fcntl.ioctl(fd, number, data)
    finally:
        os.close(fd)


def get(path):
    return struct.unpack("I", ioctl(path, GETFLAGS, bytes(4)))[0]


def put(path, flags):
    ioctl(path, SETFLAGS, struct.pack("I", flags))


def get_x(path):
    flags, _, _, project, _ = struct.unpack_from("5I", ioctl(path, FSGETXATTR, bytes(28)))
    return flags, project


def put_x(path, flags, project, hint=0):
    ioctl(path, FSSETXATTR, struct.pack("5I", flags, hint, 0, project, 0) + bytes(8))


def as_user(function):
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(12345, 12345, 12345)
        os.setresuid(12345, 12345, 12345)
        try:
            function()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def shown():
    write_file("file", b"x")
    os.mkdir("dir")
    equal((get("file"), get("dir"), get_x("file")), (0, 0, (0, 0)), "new files have no flags")
    for flag in (SYNC, NODUMP, NOATIME, DAX, NODUMP | NOATIME):
        put("file", flag)
        equal(get("file"), flag, f"flag 0x{flag:x}")
    put_x("file", X_DAX | X_NODUMP, 4000000000)
    equal((get("file"), get_x("file")), (DAX | NODUMP, (X_DAX | X_NODUMP, 4000000000)), "fsxattr with a project")
    fails(errno.EOPNOTSUPP, "a flag there is not (compression)", put, "file", 0x4)
    fails(errno.EOPNOTSUPP, "an extent size hint", put_x, "file", 0, 0, 4096)
    put("file", 0)
    generation = struct.unpack("I", ioctl("file", GETVERSION, bytes(4)))[0]
    ok(generation != 0, "FS_IOC_GETVERSION shows the generation")
    fails(errno.ENOTTY, "an ioctl there is not", ioctl, "file", 0x12345678, bytes(8))
    before = os.stat("file").st_ctime_ns
    time.sleep(0.01)  # clocks tick
    put("file", NODUMP)
    ok(os.stat("file").st_ctime_ns > before, "setting flags sets ctime")
    os.mkfifo("fifo")


def who_may():
    write_file("mine", b"x")
    os.chown("mine", 12345, 12345)
    equal(as_user(lambda: put("mine", NODUMP)), 0, "the owner sets nodump")
    equal(as_user(lambda: put("mine", IMMUTABLE)), errno.EPERM, "but not immutable")
    equal(as_user(lambda: put("mine", APPEND)), errno.EPERM, "nor append-only")
    write_file("foreign", b"x")
    equal(as_user(lambda: put("foreign", NODUMP)), errno.EPERM, "others set nothing")


def inherited():
    put_x("dir", X_PROJINHERIT | X_NODUMP | X_DAX, 77)
    write_file("dir/file", b"x")
    os.mkdir("dir/sub")
    equal((get_x("dir/file"), get_x("dir/sub")), ((X_NODUMP | X_DAX, 77), (X_NODUMP | X_DAX | X_PROJINHERIT, 77)), "flags and project are inherited")
    fails(errno.EXDEV, "a file of another project is not renamed into it", os.rename, "file", "dir/other")
    put_x("dir", 0, 0)


def append_only():
    write_file("log", b"one\n")
    old = os.open("log", os.O_RDWR)
    put("log", APPEND)
    for what, flags in (("writing", os.O_WRONLY), ("truncating", os.O_WRONLY | os.O_APPEND | os.O_TRUNC), ("truncating by reading", os.O_RDONLY | os.O_TRUNC)):
        fails(errno.EPERM, f"append-only: opened for {what}", os.open, "log", flags)
    fd = os.open("log", os.O_WRONLY | os.O_APPEND)
    equal(os.write(fd, b"two\n"), 4, "append-only: appending")
    os.utime("log")
    fails(errno.EPERM, "append-only: a descriptor from before writes over", os.pwrite, old, b"x", 0)
    fails(errno.EPERM, "append-only: and truncates", os.ftruncate, old, 0)
    fails(errno.EPERM, "append-only: and punches", fallocate, old, KEEP_SIZE | PUNCH_HOLE, 0, 4096)
    fallocate(fd, KEEP_SIZE, 0, 100000)
    for what, call in (("utime", lambda: os.utime("log", (1, 1))), ("chmod", lambda: os.chmod("log", 0o600)), ("unlink", lambda: os.unlink("log")), ("rename", lambda: os.rename("log", "gol")),
                       ("link", lambda: os.link("log", "link")), ("chown", lambda: os.chown("log", 1, 1)), ("replace", lambda: os.rename("file", "log")), ("truncate", lambda: os.truncate("log", 1))):
        fails(errno.EPERM, f"append-only: {what}", call)
    both = os.open("log", os.O_RDWR | os.O_APPEND)
    with mmap.mmap(both, 4) as mapping:
        mapping[0:1] = b"X"
        fails(errno.EPERM, "append-only: a store through a mapping does not last", mapping.flush)
    equal(read_file("log")[1:], b"ne\ntwo\n", "append-only: what is there stays")
    for descriptor in (old, fd, both):
        os.close(descriptor)


def immutable():
    write_file("stone", b"text")
    old = os.open("stone", os.O_RDWR)
    put("stone", IMMUTABLE)
    for what, call in (("open", lambda: os.open("stone", os.O_WRONLY)), ("append", lambda: os.open("stone", os.O_WRONLY | os.O_APPEND)), ("O_TRUNC", lambda: os.open("stone", os.O_RDONLY | os.O_TRUNC)),
                       ("write, opened before", lambda: os.pwrite(old, b"x", 0)), ("append, opened before", lambda: os.pwrite(old, b"x", 4)), ("ftruncate, opened before", lambda: os.ftruncate(old, 1)),
                       ("fchmod, opened before", lambda: os.fchmod(old, 0)), ("fallocate, opened before", lambda: fallocate(old, 0, 0, 1)), ("touch", lambda: os.utime("stone")),
                       ("unlink", lambda: os.unlink("stone")), ("rename", lambda: os.rename("stone", "x")), ("link", lambda: os.link("stone", "x")), ("link by descriptor", lambda: link_fd(old, "x")),
                       ("another flag", lambda: put("stone", IMMUTABLE | NODUMP))):
        fails(errno.EPERM, f"immutable: {what}", call)
    equal(read_file("stone"), b"text", "immutable: it is read")
    os.close(old)


def directories():
    os.mkdir("frozen")
    write_file("frozen/file", b"x")
    put("frozen", IMMUTABLE)
    os.mkdir("growing")
    write_file("growing/file", b"x")
    put("growing", APPEND)
    for name, create in (("frozen", False), ("growing", True)):
        for what, call in (("create", lambda: write_file(f"{name}/new", b"")), ("mkdir", lambda: os.mkdir(f"{name}/dir")), ("symlink", lambda: os.symlink("x", f"{name}/symlink")),
                           ("mkfifo", lambda: os.mkfifo(f"{name}/fifo")), ("link", lambda: os.link("file", f"{name}/link"))):
            if create:
                call()
            else:
                fails(errno.EPERM, f"{name}: {what}", call)
        for what, call in (("unlink", lambda: os.unlink(f"{name}/file")), ("rename", lambda: os.rename(f"{name}/file", f"{name}/elif")), ("rename out", lambda: os.rename(f"{name}/file", "elif")),
                           ("replace", lambda: os.rename("file", f"{name}/file")), ("chmod", lambda: os.chmod(name, 0o700))):
            fails(errno.EPERM, f"{name}: {what}", call)
        write_file(f"{name}/file", b"changed")
        equal(read_file(f"{name}/file"), b"changed", f"{name}: its files are written")
    fails(errno.EPERM, "frozen: O_TMPFILE", os.open, "frozen", 0o20200000 | os.O_RDWR, 0o600)
    equal(sorted(os.listdir("growing")), ["dir", "fifo", "file", "link", "new", "symlink"], "growing: what was made is there")


def after_remount():
    equal((get("log"), get("stone"), get("frozen"), get("growing"), get("mine")), (APPEND, IMMUTABLE, IMMUTABLE, APPEND, NODUMP), "flags are there after a remount")
    fails(errno.EPERM, "and are obeyed", os.unlink, "stone")
    equal(read_file("log"), b"one\ntwo\n", "an append-only file has what was appended, and nothing else")
    for name in ("log", "stone", "frozen", "growing"):
        put(name, 0)
    os.unlink("stone")
    os.unlink("log")
    ok(not os.path.exists("stone"), "without the flag a file can be removed")


run_cases([shown, who_may, inherited, append_only, immutable, directories] if sys.argv[2] == "make" else [after_remount])
