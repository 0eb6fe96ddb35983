"""What the test programs share: checks that report themselves, and the file-related system calls Python lacks."""
import ctypes
import errno
import os
import sys
import traceback

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
libc.linkat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

failures = 0


def ok(condition, promise, detail=""):
    """Reports one check; the test turns the line into an assertion."""
    global failures
    if condition:
        print(f"ok - {promise}", flush=True)
    else:
        failures += 1
        print(f"not ok - {promise} # {detail}", flush=True)
    return bool(condition)


def equal(found, wanted, promise):
    return ok(found == wanted, promise, f"found {short(found)}, wanted {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "…"


def fails(wanted, promise, function, *args, **kwargs):
    """The call must fail with this errno."""
    try:
        result = function(*args, **kwargs)
    except OSError as error:
        return ok(error.errno == wanted, promise,
                  f"failed with {errno.errorcode.get(error.errno)}, wanted {errno.errorcode[wanted]}")
    return ok(False, promise, f"returned {short(result)}, wanted {errno.errorcode[wanted]}")


def check_result(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fallocate(fd, mode, offset, length):
    check_result(libc.fallocate(fd, mode, offset, length))


def link_fd(fd, path):
    """Gives an O_TMPFILE file a name."""
    check_result(libc.linkat(AT_FDCWD, os.fsencode(f"/proc/self/fd/{fd}"), AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW))


def renameat2(old, new, flags):
    check_result(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def write_file(path, data, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while len(view) > 0:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def run_cases(cases):
    """Runs each case; an exception fails that case alone. Exits with 1 if anything failed."""
    for case in cases:
        try:
            case()
        except Exception as error:  # reported as a failed check, and the other cases still run
            where = traceback.extract_tb(error.__traceback__)[-1]
            caller = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == sys.argv[0]]
            line = caller[-1].lineno if caller else where.lineno
            ok(False, f"{case.__name__} runs to its end", f"{type(error).__name__}: {error} at line {line}")
    sys.exit(1 if failures else 0)
