"""Extended attributes, ACLs, and what a change takes from a program, in the directory given; ordinary users are children with other ids."""
import errno
import mmap
import os
import shutil
import stat
import struct
import sys

from checks import *

base = os.path.join(sys.argv[1], "xattrs")
os.mkdir(base, 0o755)

USER, OTHER = 1000, 1001
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, NAMED_USER, GROUP_OBJ, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
NO_ID = 0xffffffff


def at(*names):
    return os.path.join(base, *names)


def acl(*entries):
    """Entries are (tag, permissions) or (tag, permissions, id)."""
    parts = [struct.pack("<I", 2)]
    for tag, permissions, *ident in entries:
        parts.append(struct.pack("<HHI", tag, permissions, ident[0] if ident else NO_ID))
    return b"".join(parts)


def as_user(uid, function, *args, groups=()):
    """Runs the call in a child with other ids and returns its result, or the name of its errno. The result is short text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups(list(groups))
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            result = function(*args)
        except OSError as error:
            result = errno.errorcode.get(error.errno, str(error.errno))
        except BaseException as error:  # shown by the check that compares the result
            result = f"{type(error).__name__}: {error}"
        try:
            os.write(writer, repr(result).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read().decode()
    os.waitpid(child, 0)
    return eval(text, {"__builtins__": {}})  # repr of a string, number, bytes, list or None, made above


def mode(path):
    return oct(stat.S_IMODE(os.stat(path).st_mode))


def new_file(name, permissions=0o644, data=b""):
    write_file(at(name), data)
    os.chmod(at(name), permissions)
    return at(name)


def values_and_errors():
    path = new_file("values")
    for length in (0, 1, 255, 300, 4096, 65536):
        value = bytes((i * 7 + length) & 0xff for i in range(length))
        os.setxattr(path, f"user.{length}", value)
        equal(os.getxattr(path, f"user.{length}"), value, f"a value of {length} bytes comes back")
    equal(sorted(os.listxattr(path)), sorted(f"user.{n}" for n in (0, 1, 255, 300, 4096, 65536)), "all are listed")
    fails(errno.E2BIG, "a value of 65537 bytes: E2BIG", os.setxattr, path, "user.big", b"x" * 65537)
    fails(errno.ERANGE, "a name of 256 bytes: ERANGE", os.setxattr, path, "user." + "n" * 251, b"")
    os.setxattr(path, "user." + "n" * 250, b"longest name")
    fails(errno.EEXIST, "XATTR_CREATE of what exists: EEXIST", os.setxattr, path, "user.1", b"", os.XATTR_CREATE)
    fails(errno.ENODATA, "XATTR_REPLACE of what does not: ENODATA", os.setxattr, path, "user.none", b"", os.XATTR_REPLACE)
    fails(errno.ENODATA, "reading what is not there: ENODATA", os.getxattr, path, "user.none")
    fails(errno.ENODATA, "removing what is not there: ENODATA", os.removexattr, path, "user.none")
    for name in ("unknown.a", "system.a", "noprefix"):
        fails(errno.EOPNOTSUPP, f"{name}: EOPNOTSUPP", os.setxattr, path, name, b"")
    fails(errno.EINVAL, "a namespace alone: EINVAL", os.setxattr, path, "user.", b"")
    before = os.stat(path)
    os.setxattr(path, "user.1", b"new")
    after = os.stat(path)
    ok(after.st_ctime_ns > before.st_ctime_ns and after.st_mtime_ns == before.st_mtime_ns, "setting one changes ctime, not mtime")
    ok(after.st_blocks > 0, "st_blocks counts them")
    fd = os.open(path, os.O_RDONLY)
    equal(os.getxattr(fd, "user.1"), b"new", "fgetxattr")
    os.unlink(path)
    equal(os.getxattr(fd, "user.65536")[:1], bytes([65536 & 0xff]), "an unlinked file keeps them while it is open")
    os.close(fd)


def types_and_namespaces():
    os.symlink("nowhere", at("link"))
    os.mkfifo(at("fifo"))
    fails(errno.EPERM, "user.* of a symbolic link: EPERM", os.setxattr, at("link"), "user.a", b"", follow_symlinks=False)
    fails(errno.EPERM, "user.* of a fifo: EPERM", os.setxattr, at("fifo"), "user.a", b"")
    os.setxattr(at("link"), "trusted.a", b"t", follow_symlinks=False)
    equal(os.getxattr(at("link"), "trusted.a", follow_symlinks=False), b"t", "trusted.* of a symbolic link")
    fails(errno.EOPNOTSUPP, "an ACL of a symbolic link: EOPNOTSUPP", os.setxattr, at("link"), ACCESS, acl((USER_OBJ, 7), (GROUP_OBJ, 7), (OTHERS, 7)), follow_symlinks=False)

    path = new_file("owned")
    os.chown(path, USER, USER)
    os.setxattr(path, "trusted.secret", b"s")
    os.setxattr(path, "security.x", b"x")
    equal(as_user(USER, os.setxattr, path, "user.mine", b"m"), None, "the owner sets user.*")
    equal(sorted(as_user(USER, os.listxattr, path)), ["security.x", "user.mine"], "trusted.* is not listed to others than root")
    ok("trusted.secret" in os.listxattr(path), "root sees it")
    equal(as_user(USER, os.getxattr, path, "trusted.secret"), "ENODATA", "nor read by them")
    equal(as_user(USER, os.setxattr, path, "trusted.secret", b""), "EPERM", "nor set")
    equal(as_user(OTHER, os.setxattr, path, "user.mine", b""), "EACCES", "user.* follows the permissions of the file: writing")
    equal(as_user(OTHER, os.getxattr, path, "user.mine"), b"m", "and reading")
    os.chmod(path, 0o600)
    equal(as_user(OTHER, os.getxattr, path, "user.mine"), "EACCES", "which is refused, too")


def acls_are_enforced():
    path = new_file("acl", 0o600, b"contents")
    equal(as_user(USER, read_file, path), "EACCES", "without an ACL a stranger is refused")
    os.setxattr(path, ACCESS, acl((USER_OBJ, 6), (NAMED_USER, 4, USER), (GROUP_OBJ, 0), (NAMED_GROUP, 6, 77), (MASK, 6), (OTHERS, 0)))
    equal(mode(path), "0o660", "the mask is shown as the group's permissions")
    equal(as_user(USER, read_file, path), b"contents", "the named user reads")
    equal(as_user(USER, os.open, path, os.O_WRONLY), "EACCES", "and does not write")
    equal(as_user(OTHER, read_file, path), "EACCES", "others don't read")
    equal(as_user(OTHER, lambda: os.close(os.open(path, os.O_RDWR)), groups=[77]), None, "a member of the named group writes")
    os.chmod(path, 0o600)
    equal(as_user(USER, read_file, path), "EACCES", "chmod go= clears the mask: nobody else gets in")
    equal(os.getxattr(path, ACCESS)[4 + 8 * 4 + 2], 0, "and shows in the ACL")
    os.chmod(path, 0o640)
    equal(as_user(USER, read_file, path), b"contents", "chmod g=r lets him in again")
    os.setxattr(path, ACCESS, acl((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHERS, 4)))
    equal((mode(path), os.listxattr(path)), ("0o644", []), "an ACL that is just a mode is not kept")
    fails(errno.ENODATA, "then there is none", os.getxattr, path, ACCESS)
    fails(errno.EINVAL, "an ACL without a mask: EINVAL", os.setxattr, path, ACCESS, acl((USER_OBJ, 6), (NAMED_USER, 4, USER), (GROUP_OBJ, 0), (OTHERS, 0)))
    fails(errno.EACCES, "a default ACL of a file: EACCES", os.setxattr, path, DEFAULT, acl((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHERS, 4)))
    os.chown(path, OTHER, OTHER)
    equal(as_user(USER, os.setxattr, path, ACCESS, acl((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHERS, 4))), "EPERM", "only the owner sets an ACL")


def acls_are_inherited():
    parent = at("parent")
    os.mkdir(parent, 0o777)
    os.chmod(parent, 0o777)
    default = acl((USER_OBJ, 7), (NAMED_USER, 6, OTHER), (GROUP_OBJ, 5), (MASK, 6), (OTHERS, 0))
    os.setxattr(parent, DEFAULT, default)

    def make():
        os.umask(0o077)
        os.close(os.open(os.path.join(parent, "file"), os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(os.path.join(parent, "sub"), 0o777)
        os.mknod(os.path.join(parent, "node"), 0o666 | stat.S_IFREG)
        os.mkfifo(os.path.join(parent, "fifo"), 0o666)
        fd = os.open(parent, os.O_TMPFILE | os.O_RDWR, 0o666)
        link_fd(fd, os.path.join(parent, "temporary"))
        os.close(os.open(os.path.join(parent, "private"), os.O_CREAT | os.O_WRONLY, 0o600))

    equal(as_user(USER, make), None, "an ordinary user makes files")
    for name in ("file", "node", "fifo", "temporary"):
        equal(mode(os.path.join(parent, name)), "0o660", f"{name}: the default ACL takes the place of the umask")
        equal(os.getxattr(os.path.join(parent, name), ACCESS), acl((USER_OBJ, 6), (NAMED_USER, 6, OTHER), (GROUP_OBJ, 5), (MASK, 6), (OTHERS, 0)), f"{name}: its access ACL")
    equal(mode(os.path.join(parent, "private")), "0o600", "the mode that is asked for limits it")
    equal(os.getxattr(os.path.join(parent, "sub"), DEFAULT), default, "a directory hands it on")
    equal(as_user(OTHER, lambda: os.close(os.open(os.path.join(parent, "file"), os.O_RDWR))), None, "the named user has what it gives")
    equal(as_user(OTHER, read_file, os.path.join(parent, "private")), "EACCES", "and no more")
    plain = at("plain")
    os.mkdir(plain, 0o777)
    os.chmod(plain, 0o777)

    def make_plain():
        os.umask(0o027)
        os.close(os.open(os.path.join(plain, "file"), os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(os.path.join(plain, "sub"), 0o777)
        os.symlink("x", os.path.join(plain, "link"))

    as_user(USER, make_plain)
    equal([mode(os.path.join(plain, "file")), mode(os.path.join(plain, "sub"))], ["0o640", "0o750"], "without a default ACL the umask counts")


def direct_write(path):
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4096)
    os.write(fd, buffer)
    os.close(fd)


def write_byte(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)


def with_fd(path, use):
    fd = os.open(path, os.O_RDWR)
    try:
        use(fd)
    finally:
        os.close(fd)


def copy_into(path):
    with open(at("source"), "rb") as source:
        with_fd(path, lambda fd: os.copy_file_range(source.fileno(), fd, 10))


CHANGES = {
    "write": write_byte,
    "a direct write": direct_write,
    "truncate": lambda path: os.truncate(path, 5),
    "ftruncate": lambda path: with_fd(path, lambda fd: os.ftruncate(fd, 6)),
    "O_TRUNC": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
    "fallocate": lambda path: with_fd(path, lambda fd: fallocate(fd, 0, 0, 9000)),
    "copy_file_range": copy_into,
}


def set_id_bits_are_taken():
    new_file("source", 0o644, b"0123456789abc")
    for what, change in CHANGES.items():
        path = new_file("program", 0o6777, b"contents")
        change(path)
        equal(mode(path), "0o6777", f"{what} by root leaves set-user-id")
        equal(as_user(USER, change, path), None, f"{what} by an ordinary user")
        equal(mode(path), "0o777", "takes set-user-id and set-group-id")
        os.chmod(path, 0o2767)
        equal(as_user(USER, change, path, groups=[0]), None, f"{what} of a file that its group may not execute")
        equal(mode(path), "0o2767", "leaves set-group-id to a member")
    path = new_file("program", 0o6755)
    os.chown(path, USER, USER)
    equal(mode(path), "0o755", "chown takes both, even by root")
    os.chmod(path, 0o6755)
    equal(as_user(USER, os.chown, path, -1, USER), None, "chgrp by the owner")
    equal(mode(path), "0o755", "takes both")
    os.mkdir(at("kept"), 0o755)
    os.chmod(at("kept"), 0o2755)
    os.chown(at("kept"), USER, USER)
    equal(mode(at("kept")), "0o2755", "a directory keeps set-group-id")


def no_stale_set_user_id():
    """The kernel keeps attributes: after a write it must not run the program with the bits that it remembers."""
    path = at("id")
    shutil.copyfile("/usr/bin/id", path)
    os.chmod(path, 0o4777)

    def effective():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, 1)
            os.execv(path, ["id", "-u"])
        os.close(writer)
        os.waitpid(child, 0)
        return os.read(reader, 100)

    equal(as_user(USER, effective), b"0\n", "a set-user-id program runs as its owner")

    def append_and_run():
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"x")
        os.close(fd)
        return effective()

    equal(as_user(USER, append_and_run), b"1000\n", "but not once somebody has written to it")


def capabilities_are_taken():
    new_file("source", 0o644, b"0123456789abc")
    # cap_net_raw=ep: VFS_CAP_REVISION_2 with the effective bit, permitted bit 13.
    caps = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    for what, change in {**CHANGES, "chown": lambda path: os.chown(path, USER, USER)}.items():
        path = new_file("capable", 0o777, b"contents")
        os.setxattr(path, "user.stays", b"y")
        os.setxattr(path, "security.capability", caps)
        equal(os.getxattr(path, "security.capability"), caps, "capabilities are set")
        os.chmod(path, 0o777)
        os.utime(path)
        ok("security.capability" in os.listxattr(path), "chmod and utime leave them")
        change(path)
        equal(os.listxattr(path), ["user.stays"], f"{what}, even by root, takes them, and nothing else")


def groups_are_inherited():
    parent = at("group")
    os.mkdir(parent)
    os.chown(parent, 0, 77)
    os.chmod(parent, 0o2777)

    def make(name):
        os.umask(0)
        os.close(os.open(os.path.join(parent, name), os.O_CREAT | os.O_WRONLY, 0o2777))
        os.mkdir(os.path.join(parent, name + ".d"), 0o777)

    as_user(USER, make, "stranger")
    as_user(USER, make, "member", groups=[77])
    for name in ("stranger", "member"):
        equal(os.stat(os.path.join(parent, name)).st_gid, 77, f"{name}: the directory's group is inherited")
        equal(mode(os.path.join(parent, name + ".d")), "0o2777", f"{name}: directories inherit set-group-id")
    equal(mode(os.path.join(parent, "member")), "0o2777", "a member of the group may make a set-group-id program")
    equal(mode(os.path.join(parent, "stranger")), "0o777", "a stranger may not")
    path = new_file("shared", 0o2770)
    os.chown(path, USER, 77)
    os.chmod(path, 0o2770)
    whole = acl((USER_OBJ, 7), (NAMED_USER, 7, OTHER), (GROUP_OBJ, 7), (MASK, 7), (OTHERS, 0))
    as_user(USER, os.setxattr, path, ACCESS, whole, groups=[77])
    equal(mode(path), "0o2770", "an ACL set by a member leaves set-group-id")
    as_user(USER, os.setxattr, path, ACCESS, whole)
    equal(mode(path), "0o770", "one set by a stranger to the group takes it")


run_cases([
    values_and_errors,
    types_and_namespaces,
    acls_are_enforced,
    acls_are_inherited,
    set_id_bits_are_taken,
    no_stale_set_user_id,
    capabilities_are_taken,
    groups_are_inherited,
])
