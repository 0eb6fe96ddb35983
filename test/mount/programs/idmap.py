"""An id-mapped mount of a volume: ids are shown and stored through the mapping, and nothing else changes."""
import ctypes
import errno
import os
import signal
import stat
import struct
import sys

from checks import equal, fails, libc, ok, read_file, renameat2, run_cases, write_file

plain, mapped = sys.argv[1:]
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, AT_EMPTY_PATH, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_IDMAP = 1, 0x1000, 4, 0x100000
CLONE_NEWUSER = 0x10000000
BASE = 100000


def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def user_namespace():
    """Ids 0 … 65535 of the volume are shown as 100000 … 165535."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(CLONE_NEWUSER)
        os.write(write, b"x")
        signal.pause()
    os.read(read, 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(f"0 {BASE} 65536")
    fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return fd


def as_user(uid, function):
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            function()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ids(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid


def case():
    os.mkdir(f"{plain}/open")
    os.chmod(f"{plain}/open", 0o777)
    write_file(f"{plain}/file", b"x")
    os.chown(f"{plain}/file", 1000, 1001)
    tree = call(SYS_OPEN_TREE, -100, os.fsencode(plain), OPEN_TREE_CLONE | os.O_CLOEXEC)
    namespace = user_namespace()
    attributes = struct.pack("QQQQ", MOUNT_ATTR_IDMAP, 0, 0, namespace)
    if not ok(libc.syscall(SYS_MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, attributes, len(attributes)) == 0, "the kernel maps the ids of a mount", os.strerror(ctypes.get_errno())):
        return
    call(SYS_MOVE_MOUNT, tree, b"", -100, os.fsencode(mapped), MOVE_MOUNT_F_EMPTY_PATH)
    try:
        check()
    finally:
        os.close(tree)
        os.close(namespace)
        libc.umount2(os.fsencode(mapped), 2)


def check():
    equal((ids(f"{plain}/file"), ids(f"{mapped}/file")), ((1000, 1001), (101000, 101001)), "owners are shown through the mapping")
    os.chown(f"{mapped}/file", 100005, 100006)
    equal(ids(f"{plain}/file"), (5, 6), "chown is stored through it")
    fails(errno.EOVERFLOW, "an id that is not mapped can not be stored", os.chown, f"{mapped}/file", 3, 3)

    def make():
        os.mkdir(f"{mapped}/open/dir")
        os.mkfifo(f"{mapped}/open/fifo")
        os.symlink("x", f"{mapped}/open/link")
        write_file(f"{mapped}/open/file", b"mine")
        os.close(os.open(f"{mapped}/open", 0o20200000 | os.O_RDWR, 0o600))
        os.chmod(f"{mapped}/open/file", 0o600)
        os.truncate(f"{mapped}/open/file", 2)
        os.rename(f"{mapped}/open/file", f"{mapped}/open/renamed")
        os.link(f"{mapped}/open/renamed", f"{mapped}/open/file")
        os.unlink(f"{mapped}/open/renamed")
    equal(as_user(BASE + 7, make), 0, "a mapped user works there")
    for name in ("dir", "fifo", "link", "file"):
        equal((ids(f"{plain}/open/{name}"), ids(f"{mapped}/open/{name}")), ((7, 7), (BASE + 7, BASE + 7)), f"what it made belongs to it: {name}")
    equal(as_user(8, lambda: write_file(f"{mapped}/open/n", b"")), errno.EOVERFLOW, "a user that is not mapped makes nothing")
    equal(as_user(BASE + 8, lambda: write_file(f"{mapped}/open/file", b"")), errno.EACCES, "permissions are those of the mapped ids")
    equal(as_user(BASE + 7, lambda: renameat2(f"{mapped}/open/fifo", f"{mapped}/open/ofif", 1)), 0, "RENAME_NOREPLACE")
    equal(as_user(BASE, lambda: os.stat(f"{mapped}/open")), 0, "its root may look")
    equal(read_file(f"{plain}/open/file"), b"mi", "the plain mount has the contents")
    equal(stat.S_IMODE(os.stat(f"{plain}/open/file").st_mode), 0o600, "and the mode")
    # Requests that create nothing carry no ids: what they do must not depend on them.
    write_file(f"{plain}/later", b"12345")
    os.truncate(f"{mapped}/later", 3)
    write_file(f"{plain}/later", b"ab")
    equal((read_file(f"{mapped}/later"), ids(f"{plain}/later")), (b"ab", (0, 0)), "root goes on as before on the plain mount")


run_cases([case])
