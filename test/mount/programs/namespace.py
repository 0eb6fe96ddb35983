"""Names, links, renames, types and attributes in the directory given."""
import errno
import os
import stat
import sys
import time

from checks import *

base = os.fsencode(os.path.join(sys.argv[1], "namespace"))
os.mkdir(base)


def at(*names):
    return os.path.join(base, *[os.fsencode(name) for name in names])


def long_and_raw_names():
    os.mkdir(at("names"))
    longest = at("names", b"x" * 255)
    write_file(longest, b"longest")
    equal(read_file(longest), b"longest", "a name of 255 bytes works")
    fails(errno.ENAMETOOLONG, "creating a name of 256 bytes: ENAMETOOLONG", os.open, at("names", b"x" * 256), os.O_CREAT | os.O_WRONLY)
    fails(errno.ENAMETOOLONG, "looking up a name of 256 bytes: ENAMETOOLONG", os.stat, at("names", b"y" * 256))
    fails(errno.ENAMETOOLONG, "renaming to a name of 256 bytes: ENAMETOOLONG", os.rename, longest, at("names", b"y" * 256))
    raw = [bytes([b]) for b in range(1, 256) if b not in (0x2f, 0x2e)]
    raw += [b"\xff\xfe\x80", b"\xc3\x28", b"\xed\xa0\x80", b"new\nline", b" ", b"...", b"\xf0\x9f\x98\x80"]
    for name in raw:
        write_file(at("names", name), name)
    listed = set(os.listdir(at("names")))
    equal(listed, set(raw) | {b"x" * 255}, "readdir gives back every name byte for byte, UTF-8 or not")
    ok(all(read_file(at("names", name)) == name for name in raw), "each name that is not UTF-8 leads to its own file")
    for name in listed:
        os.unlink(at("names", name))
    os.rmdir(at("names"))


def create_and_exclusive():
    path = at("exclusive")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    fails(errno.EEXIST, "O_EXCL refuses an existing name", os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.ENOENT, "a missing name: ENOENT", os.stat, at("missing"))
    fails(errno.ENOTDIR, "a file as a directory: ENOTDIR", os.stat, at("exclusive", "x"))
    fails(errno.EISDIR, "unlink of a directory: EISDIR", os.unlink, base)
    fails(errno.ENOTDIR, "rmdir of a file: ENOTDIR", os.rmdir, path)
    write_file(path, b"0123456789")
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    equal(os.stat(path).st_size, 0, "O_TRUNC empties the file")
    os.unlink(path)
    fails(errno.ENOENT, "an unlinked name is gone", os.stat, path)


def directories():
    os.makedirs(at("a", "b", "c", "d"))
    equal(os.stat(at("a")).st_nlink, 3, "a directory's link count is 2 plus its subdirectories")
    fails(errno.ENOTEMPTY, "rmdir of a directory with entries: ENOTEMPTY", os.rmdir, at("a"))
    fails(errno.EEXIST, "mkdir over an existing name: EEXIST", os.mkdir, at("a"))
    equal(os.stat(at("a", "b", "..")).st_ino, os.stat(at("a")).st_ino, "'..' is the parent")
    os.rename(at("a", "b", "c"), at("c"))
    equal(os.stat(at("c", "..")).st_ino, os.stat(base).st_ino, "'..' follows a directory that moved")
    equal(os.stat(at("a", "b")).st_nlink, 2, "the link count of the old parent fell")
    os.rmdir(at("c", "d"))
    os.rmdir(at("c"))
    os.rmdir(at("a", "b"))
    os.rmdir(at("a"))
    os.mkdir(at("gone"))
    fd = os.open(at("gone"), os.O_RDONLY)
    os.rmdir(at("gone"))
    equal(os.listdir(fd), [], "a removed directory that is still open is empty")
    fails(errno.ENOENT, "nothing is created in a removed directory", os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


def renames():
    write_file(at("one"), b"one")
    write_file(at("two"), b"two")
    os.rename(at("one"), at("three"))
    fails(errno.ENOENT, "the old name of a rename is gone", os.stat, at("one"))
    os.rename(at("three"), at("two"))
    equal(read_file(at("two")), b"one", "rename replaces an existing file")
    write_file(at("one"), b"1")
    fails(errno.EEXIST, "RENAME_NOREPLACE refuses an existing name", renameat2, at("one"), at("two"), RENAME_NOREPLACE)
    renameat2(at("one"), at("fresh"), RENAME_NOREPLACE)
    renameat2(at("fresh"), at("two"), RENAME_EXCHANGE)
    equal((read_file(at("fresh")), read_file(at("two"))), (b"one", b"1"), "RENAME_EXCHANGE swaps two names")
    os.mkdir(at("dir"))
    os.mkdir(at("dir", "sub"))
    renameat2(at("dir"), at("two"), RENAME_EXCHANGE)
    ok(os.path.isdir(at("two", "sub")) and read_file(at("dir")) == b"1", "RENAME_EXCHANGE swaps a directory and a file")
    renameat2(at("dir"), at("two"), RENAME_EXCHANGE)
    fails(errno.EINVAL, "a directory is not renamed into itself", os.rename, at("dir"), at("dir", "sub", "x"))
    fails(errno.EISDIR, "a file is not renamed over a directory", os.rename, at("two"), at("dir"))
    fails(errno.ENOTDIR, "a directory is not renamed over a file", os.rename, at("dir"), at("two"))
    os.mkdir(at("empty"))
    fails(errno.ENOTEMPTY, "a directory is not renamed over one with entries", os.rename, at("empty"), at("dir"))
    os.rename(at("dir"), at("empty"))
    ok(os.path.isdir(at("empty", "sub")), "a directory is renamed over an empty one")
    os.link(at("two"), at("same"))
    os.rename(at("two"), at("same"))
    ok(os.path.exists(at("two")) and os.path.exists(at("same")), "rename between two links of one file does nothing")


def links():
    write_file(at("target"), b"linked")
    for i in range(100):
        os.link(at("target"), at(f"link{i}"))
    info = os.stat(at("target"))
    equal(info.st_nlink, 101, "the link count counts hard links")
    ok(all(os.stat(at(f"link{i}")).st_ino == info.st_ino for i in range(100)), "hard links share one inode")
    os.unlink(at("target"))
    equal(read_file(at("link99")), b"linked", "a file lives as long as one of its links")
    for i in range(99):
        os.unlink(at(f"link{i}"))
    equal(os.stat(at("link99")).st_nlink, 1, "the link count falls with each unlink")
    os.mkdir(at("directory"))
    fails(errno.EPERM, "no hard link to a directory", os.link, at("directory"), at("directory2"))
    for length in (1, 59, 60, 100, 255, 1000, 4000, 4095):
        text = b"t" * length
        os.symlink(text, at("symlink"))
        equal(os.readlink(at("symlink")), text, f"a symlink of {length} bytes reads back")
        equal(os.lstat(at("symlink")).st_size, length, f"a symlink of {length} bytes has that size")
        os.unlink(at("symlink"))
    os.symlink(b"link99", at("symlink"))
    equal(read_file(at("symlink")), b"linked", "a symlink is followed")
    fails(errno.ELOOP, "O_NOFOLLOW on a symlink: ELOOP", os.open, at("symlink"), os.O_RDONLY | os.O_NOFOLLOW)


def attributes():
    path = at("attributes")
    write_file(path, b"x")
    os.chmod(path, 0o4751)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o4751, "chmod keeps every mode bit")
    os.chown(path, 12345, 54321)
    info = os.stat(path)
    equal((info.st_uid, info.st_gid), (12345, 54321), "chown sets owner and group")
    for when in (1, 1_700_000_000_123_456_789, 2**32 * 10**9 + 999_999_999, -1_500_000_000):
        os.utime(path, ns=(when + 1, when))
        info = os.stat(path)
        equal((info.st_atime_ns, info.st_mtime_ns), (when + 1, when), f"utimens keeps nanoseconds ({when})")
    before = os.stat(path).st_ctime_ns
    time.sleep(0.02)
    os.chmod(path, 0o600)
    ok(os.stat(path).st_ctime_ns > before, "chmod moves ctime")
    time.sleep(0.02)
    before = os.stat(path).st_mtime_ns
    os.utime(path)
    with open(path, "ab") as file:
        file.write(b"y")
    ok(abs(os.stat(path).st_mtime_ns - time.time_ns()) < 5 * 10**9, "a write moves mtime to now")
    parent = os.stat(base).st_mtime_ns
    time.sleep(0.02)
    os.unlink(path)
    ok(os.stat(base).st_mtime_ns > parent, "unlink moves the directory's mtime")


def special_files():
    os.mkfifo(at("fifo"), 0o640)
    ok(stat.S_ISFIFO(os.stat(at("fifo")).st_mode), "mkfifo makes a FIFO")
    os.mknod(at("device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    info = os.stat(at("device"))
    ok(stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3), "mknod keeps type and device number")
    pid = os.fork()
    if pid == 0:
        fd = os.open(at("fifo"), os.O_WRONLY)
        os.write(fd, b"through the fifo")
        os._exit(0)
    fd = os.open(at("fifo"), os.O_RDONLY)
    equal(os.read(fd, 100), b"through the fifo", "a FIFO connects two processes")
    os.close(fd)
    os.waitpid(pid, 0)
    umask = os.umask(0o027)
    os.mkdir(at("umask"), 0o777)
    equal(stat.S_IMODE(os.stat(at("umask")).st_mode), 0o750, "mkdir honours the umask")
    os.umask(umask)
    os.chmod(at("umask"), 0o2775)
    os.chown(at("umask"), -1, 4242)
    os.mkdir(at("umask", "inner"))
    inner = os.stat(at("umask", "inner"))
    ok(inner.st_gid == 4242 and inner.st_mode & stat.S_ISGID, "a set-group-id directory passes on its group and the bit")


def permissions_of_another_user():
    os.chmod(sys.argv[1], 0o755)
    write_file(at("secret"), b"secret", 0o600)
    os.mkdir(at("sticky"))
    os.chmod(at("sticky"), 0o1777)
    write_file(at("sticky", "mine"), b"")
    pid = os.fork()
    if pid == 0:
        failed = 0
        try:
            fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
            os.fchdir(fd)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            for function, args in ((os.open, ("secret", os.O_RDONLY)), (os.mkdir, ("new",)), (os.unlink, ("sticky/mine",)), (os.chmod, ("secret", 0o666))):
                try:
                    function(*args)
                    failed += 1
                except PermissionError:
                    pass
            os.mkdir("sticky/own")
            failed += os.stat("sticky/own").st_uid != 65534
        except BaseException as error:
            print(f"another user: {error!r}", flush=True)
            failed = 99
        os._exit(failed)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "permissions bind another user (mode, directory, sticky, owner)")


run_cases([long_and_raw_names, create_and_exclusive, directories, renames, links, attributes, special_files, permissions_of_another_user])
