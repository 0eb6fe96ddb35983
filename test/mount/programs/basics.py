"""What every transport must be able to do: `basics.py DIR make`, and after a remount `basics.py DIR after`."""
import errno
import os
import stat
import sys

from checks import *

base = os.path.join(sys.argv[1], "basics")
PATTERN = bytes(range(256)) * 1200


def at(name):
    return os.path.join(base, name)


def files():
    os.mkdir(base)
    write_file(at("file"), PATTERN)
    equal(read_file(at("file")) == PATTERN, True, "a file is written and read")
    fd = os.open(at("file"), os.O_RDWR)
    os.pwrite(fd, b"inside", 70_001)
    equal(os.pread(fd, 8, 70_000), PATTERN[70_000:70_001] + b"inside" + PATTERN[70_007:70_008], "a write inside a file")
    os.fsync(fd)
    os.ftruncate(fd, 100_000)
    equal(os.fstat(fd).st_size, 100_000, "ftruncate sets the size")
    os.close(fd)
    os.truncate(at("file"), 120_000)
    equal(read_file(at("file"))[100_000:], bytes(20_000), "a file made longer ends in zeros")
    with open(at("file"), "ab") as file:
        file.write(b"appended")
    equal(read_file(at("file"))[-9:], b"\0appended", "a file is appended to")
    fails(errno.ENOENT, "a missing name: ENOENT", os.stat, at("missing"))


def names():
    os.mkdir(at("directory"))
    write_file(at("directory/a"), b"a")
    os.rename(at("directory/a"), at("directory/b"))
    fails(errno.ENOENT, "rename removes the old name", os.stat, at("directory/a"))
    equal(read_file(at("directory/b")), b"a", "rename makes the new name")
    fails(errno.ENOTEMPTY, "rmdir of a directory with entries: ENOTEMPTY", os.rmdir, at("directory"))
    os.unlink(at("directory/b"))
    os.rmdir(at("directory"))
    ok(not os.path.exists(at("directory")), "rmdir removes a directory")
    os.symlink("file", at("symlink"))
    equal(os.readlink(at("symlink")), "file", "a symlink is read")
    equal(os.stat(at("symlink")).st_size, os.stat(at("file")).st_size, "a symlink is followed")
    os.link(at("file"), at("link"))
    equal(os.stat(at("file")).st_nlink, 2, "a hard link counts")
    os.mkdir(at("many"))
    wanted = {f"name-{i:04d}" for i in range(1000)}
    for name in wanted:
        write_file(at(f"many/{name}"), b"")
    equal(sorted(os.listdir(at("many"))) == sorted(wanted), True, "readdir of 1000 names is complete and without duplicates")


def attributes():
    os.chmod(at("file"), 0o640)
    equal(stat.S_IMODE(os.stat(at("file")).st_mode), 0o640, "chmod sets the mode")
    os.utime(at("file"), (1_500_000_000, 1_600_000_000))
    equal(int(os.stat(at("file")).st_mtime), 1_600_000_000, "utimens sets mtime")
    os.chown(at("file"), 12, 34)
    equal((os.stat(at("file")).st_uid, os.stat(at("file")).st_gid), (12, 34), "chown sets owner and group")
    free = os.statvfs(base)
    ok(free.f_blocks > 0 and 0 < free.f_bfree < free.f_blocks and free.f_namemax == 255, "statfs shows the volume")
    write_file(at("big"), bytes(8 << 20))
    ok(os.statvfs(base).f_bfree * free.f_frsize <= free.f_bfree * free.f_frsize - (8 << 20), "statfs shows what a file takes")
    os.unlink(at("big"))


def after():
    equal(read_file(at("file"))[:70_001] == PATTERN[:70_001], True, "a file is there after a remount")
    equal(stat.S_IMODE(os.stat(at("file")).st_mode), 0o640, "its mode, too")
    equal(len(os.listdir(at("many"))), 1000, "a directory is complete after a remount")
    equal(os.readlink(at("symlink")), "file", "a symlink is there after a remount")
    ok(os.stat(at("file")).st_ino == os.stat(at("link")).st_ino, "a hard link is there after a remount")


run_cases([files, names, attributes] if sys.argv[2] == "make" else [after])
