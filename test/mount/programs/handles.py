"""Handles of files as NFS uses them: taken once, opened later, also after the volume was mounted anew; stale for what was removed."""
import ctypes
import errno
import json
import os
import sys

from checks import equal, fails, libc, ok, run_cases, write_file

directory, store, phase = sys.argv[1:]
MAX = 128


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint32), ("type", ctypes.c_int32), ("data", ctypes.c_uint8 * MAX)]


def take(path):
    handle, mount = Handle(bytes=MAX), ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return [handle.type, bytes(handle.data[:handle.bytes]).hex()]


def opened(taken, flags=os.O_RDONLY):
    data = bytes.fromhex(taken[1])
    handle = Handle(bytes=len(data), type=taken[0])
    ctypes.memmove(handle.data, data, len(data))
    mount = os.open(directory, os.O_RDONLY)
    try:
        fd = libc.open_by_handle_at(mount, ctypes.byref(handle), flags)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "open_by_handle_at")
        return fd
    finally:
        os.close(mount)


def make():
    deep = os.path.join(directory, "a/b/c")
    os.makedirs(deep)
    write_file(f"{deep}/file", b"by handle")
    os.symlink("file", f"{deep}/link")
    os.mkfifo(f"{deep}/fifo")
    write_file(f"{deep}/removed", b"x")
    taken = {name: take(f"{deep}/{name}") for name in ("file", "fifo", "removed", ".")}
    taken["root"] = take(directory)
    os.unlink(f"{deep}/removed")
    with open(store, "w") as file:
        json.dump(taken, file)
    write_file(f"{deep}/next", b"takes the same number")
    ok(True, "handles were taken")


def check():
    with open(store) as file:
        taken = json.load(file)
    # The kernel shall not have the inodes.
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")
    fd = opened(taken["file"])
    equal(os.read(fd, 99), b"by handle", "a file is opened by its handle")
    equal(os.fstat(fd).st_ino, os.stat(os.path.join(directory, "a/b/c/file")).st_ino, "the same inode")
    os.close(fd)
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")
    fd = opened(taken["."], os.O_RDONLY | os.O_DIRECTORY)
    equal(sorted(os.listdir(fd)), ["fifo", "file", "link", "next"], "a directory is opened by its handle")
    equal(os.readlink(f"/proc/self/fd/{fd}"), os.path.join(directory, "a/b/c"), "and is joined with its parents")
    os.close(fd)
    os.close(opened(taken["root"]))
    os.close(opened(taken["fifo"], os.O_RDWR | os.O_NONBLOCK))
    fails(errno.ESTALE, "the handle of a removed file, whose number is used again, is stale", opened, taken["removed"])
    kind, data = taken["file"]
    never = bytes.fromhex(data)
    for number in (10**6, 2**40, 0):
        fails(errno.ESTALE, f"a handle of inode {number}, which never was", opened, [kind, (number.to_bytes(8, "little") + never[8:]).hex()] if kind != 0x81 else
              [kind, ((number >> 32).to_bytes(4, "little") + (number & 0xffffffff).to_bytes(4, "little") + never[8:]).hex()])


run_cases([make if phase == "make" else check])
