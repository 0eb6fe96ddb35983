"""A writing load whose every acknowledged operation is known outside the volume, and the check of what a crash left.

    load.py write DIR STATE LOG SEED OPERATIONS
    load.py check DIR STATE LOG

`write` works in DIR alone with others in theirs. Before each operation it logs what it is about to do, after the call
has returned that it was acknowledged; STATE holds the tree as it was when the log began. `check` replays the log: what
was acknowledged must be there; of the one operation in flight, all or nothing, and of data in flight no byte that is
neither old nor new. It then saves the tree it found as the next STATE and empties the log.
"""
import errno
import json
import mmap
import os
import pickle
import random
import stat
import sys

from checks import PUNCH_HOLE, KEEP_SIZE, RENAME_EXCHANGE, fallocate, renameat2

FILES_MAX, SIZE_MAX = 60, 256 * 1024
DATA_OPERATIONS = ("append", "pwrite", "store")
GONE = (errno.ENOTCONN, errno.ECONNABORTED)


class Node:
    def __init__(self, kind, mode=0, data=b"", target=""):
        self.kind, self.mode, self.data, self.target = kind, mode, bytearray(data), target


def bytes_of(op):
    return random.Random(op["seed"]).randbytes(op["length"])


def put(data, offset, new):
    if len(data) < offset + len(new):
        data.extend(bytes(offset + len(new) - len(data)))
    data[offset:offset + len(new)] = new


def within(tree, directory):
    return [path for path in tree if path.startswith(directory + "/")]


def apply(tree, op):
    """The effect of an acknowledged operation on the tree."""
    kind, path = op["op"], op["path"]
    if kind == "create":
        tree[path] = Node("file", op["mode"])
    elif kind == "mkdir":
        tree[path] = Node("directory", op["mode"])
    elif kind == "symlink":
        tree[path] = Node("symlink", target=op["target"])
    elif kind in ("unlink", "rmdir"):
        del tree[path]
    elif kind == "link":
        tree[op["to"]] = tree[path]
    elif kind == "rename":
        for old in [path] + within(tree, path):
            tree[op["to"] + old[len(path):]] = tree.pop(old)
    elif kind == "exchange":
        tree[path], tree[op["to"]] = tree[op["to"]], tree[path]
    elif kind == "chmod":
        tree[path].mode = op["mode"]
    elif kind == "append":
        tree[path].data += bytes_of(op)[:op["done"]]
    elif kind in ("pwrite", "store"):
        put(tree[path].data, op["offset"], bytes_of(op)[:op["done"]])
    elif kind == "truncate":
        size = op["size"]
        tree[path].data = tree[path].data[:size].ljust(size, b"\0")
    elif kind == "punch":
        data, end = tree[path].data, min(op["offset"] + op["length"], len(tree[path].data))
        data[op["offset"]:end] = bytes(max(0, end - op["offset"]))
    else:
        raise ValueError(kind)


class Writer:
    def __init__(self, base, tree, log, seed):
        self.base, self.tree, self.rng = base, tree, random.Random(seed)
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.open_files = {}  # path → descriptor kept open for appending
        self.orphans = []  # descriptors of unlinked files
        self.number = 0

    def at(self, path):
        return os.path.join(self.base, path)

    def paths(self, kind):
        return [path for path, node in self.tree.items() if node.kind == kind]

    def new_path(self):
        self.number += 1
        directory = self.rng.choice([""] + self.paths("directory"))
        return os.path.join(directory, f"{self.rng.randrange(1 << 40):x}" + "n" * self.rng.choice((0, 5, 50, 200)))

    def choose(self):
        """An operation that must succeed on the tree as it is."""
        rng, files, directories = self.rng, self.paths("file"), self.paths("directory")
        names = files + self.paths("symlink")
        kind = rng.choices(("append", "pwrite", "store", "create", "unlink", "rename", "replace", "exchange", "link", "symlink", "mkdir", "rmdir", "truncate", "punch", "chmod", "read"),
                           (20, 12, 4, 12, 8, 6, 6, 3, 4, 3, 3, 2, 6, 4, 3, 6))[0]
        if len(names) > FILES_MAX and kind in ("create", "link", "symlink"):
            kind = "unlink"
        if not files or (kind == "exchange" and len(names) < 2):
            kind = "create"
        path = rng.choice(files) if files else ""
        if kind in ("append", "pwrite"):
            length = rng.choice((1, 13, 100, 512, 4096, 5000, 30_000, 70_000))
            size = len(self.tree[path].data)
            if size + length > SIZE_MAX:
                return {"op": "truncate", "path": path, "size": rng.randrange(1000)}
            return {"op": kind, "path": path, "length": length, "seed": rng.getrandbits(32), "offset": rng.randrange(0, size + 5000) if kind == "pwrite" else size}
        if kind in ("store", "punch", "read"):
            size = len(self.tree[path].data)
            if size < 10:
                return {"op": "truncate", "path": path, "size": 20_000}
            offset = rng.randrange(size)
            return {"op": kind, "path": path, "offset": offset, "length": rng.randrange(1, min(20_000, size - offset) + 1), "seed": rng.getrandbits(32)}
        if kind == "truncate":
            return {"op": kind, "path": path, "size": rng.randrange(SIZE_MAX // 2)}
        if kind == "chmod":
            return {"op": kind, "path": path, "mode": rng.randrange(0o1000)}
        if kind == "create":
            return {"op": kind, "path": self.new_path(), "mode": rng.choice((0o600, 0o644, 0o755))}
        if kind == "mkdir" and len(directories) < 12:
            return {"op": "mkdir", "path": self.new_path(), "mode": 0o755}
        if kind == "rmdir":
            empty = [d for d in directories if not within(self.tree, d)]
            if empty:
                return {"op": kind, "path": rng.choice(empty)}
        if kind == "symlink":
            return {"op": kind, "path": self.new_path(), "target": "t" * rng.choice((1, 20, 59, 60, 200, 1000))}
        if kind == "link":
            return {"op": kind, "path": path, "to": self.new_path()}
        if kind == "exchange":
            pair = rng.sample(names, 2)
            return {"op": kind, "path": pair[0], "to": pair[1]}
        if kind == "replace":
            pair = rng.sample(names, 2) if len(names) > 1 else None
            if pair and self.tree[pair[0]] is not self.tree[pair[1]]:
                return {"op": "rename", "path": pair[0], "to": pair[1]}
        if kind == "rename" or kind == "replace":
            source = rng.choice(names + directories)
            target = self.new_path()
            if not target.startswith(source + "/"):
                return {"op": "rename", "path": source, "to": target}
        return {"op": "unlink", "path": rng.choice(names)} if len(names) > 5 else {"op": "create", "path": self.new_path(), "mode": 0o644}

    def descriptor(self, path):
        """Kept open for a while, so that writes also go through descriptors that outlive a rename."""
        if path not in self.open_files:
            if len(self.open_files) >= 8:
                os.close(self.open_files.pop(next(iter(self.open_files))))
            self.open_files[path] = os.open(self.at(path), os.O_RDWR | os.O_APPEND)
        return self.open_files[path]

    def forget(self, *paths):
        for path in paths:
            for known in [k for k in self.open_files if k == path or k.startswith(path + "/")]:
                os.close(self.open_files.pop(known))

    def perform(self, op):
        """Makes the system call; returns the number of bytes written, or 0."""
        kind, path = op["op"], self.at(op["path"])
        if kind == "create":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, op["mode"]))
        elif kind == "mkdir":
            os.mkdir(path, op["mode"])
        elif kind == "symlink":
            os.symlink(op["target"], path)
        elif kind == "unlink":
            os.unlink(path)
        elif kind == "rmdir":
            os.rmdir(path)
        elif kind == "link":
            os.link(path, self.at(op["to"]), follow_symlinks=False)
        elif kind == "rename":
            os.rename(path, self.at(op["to"]))
        elif kind == "exchange":
            renameat2(path, self.at(op["to"]), RENAME_EXCHANGE)
        elif kind == "chmod":
            os.chmod(path, op["mode"])
        elif kind == "append":
            return os.write(self.descriptor(op["path"]), bytes_of(op))
        elif kind == "truncate":
            os.truncate(path, op["size"])
        else:
            return self.perform_at_offset(op, path)
        return 0

    def perform_at_offset(self, op, path):
        fd = os.open(path, os.O_RDWR)
        try:
            if op["op"] == "pwrite":
                return os.pwrite(fd, bytes_of(op), op["offset"])
            if op["op"] == "punch":
                fallocate(fd, PUNCH_HOLE | KEEP_SIZE, op["offset"], op["length"])
                return 0
            with mmap.mmap(fd, len(self.tree[op["path"]].data)) as mapping:
                mapping[op["offset"]:op["offset"] + op["length"]] = bytes_of(op)
                mapping.flush()
            return op["length"]
        finally:
            os.close(fd)

    def last_link(self, path):
        node = self.tree[path]
        return node.kind == "file" and sum(other is node for other in self.tree.values()) == 1

    def step(self):
        op = self.choose()
        if op["op"] == "read":
            with open(self.at(op["path"]), "rb") as file:
                file.seek(op["offset"])
                if file.read(op["length"]) != self.tree[op["path"]].data[op["offset"]:op["offset"] + op["length"]]:
                    raise ValueError(f"{op['path']} reads back wrongly at {op['offset']} before any crash")
            return
        if op["op"] == "unlink" and self.last_link(op["path"]) and self.rng.random() < 0.5:
            self.orphans.append(os.open(self.at(op["path"]), os.O_RDWR))
            if len(self.orphans) > 5:
                os.close(self.orphans.pop(0))
        if op["op"] in ("unlink", "rename", "exchange"):
            self.forget(op["path"], op.get("to", op["path"]))
        os.write(self.log, b"B " + json.dumps(op).encode() + b"\n")
        op["done"] = self.perform(op)
        os.write(self.log, f"A {op['done']}\n".encode())
        apply(self.tree, op)
        for fd in self.orphans[-1:]:
            os.pwrite(fd, b"orphan" * 100, self.rng.randrange(100_000))


def load_tree(path):
    if not os.path.exists(path):
        return {}
    with open(path, "rb") as file:
        return pickle.load(file)


def write(base, state, log, seed, operations):
    os.umask(0)
    writer = Writer(base, load_tree(state), log, seed)
    for number in range(operations):
        try:
            writer.step()
        except OSError as error:
            # The death of the daemon is the end of this round. A page that could not be written back shows as EIO; once the
            # dead mount is detached, DIR itself is not there any more, and nothing in it.
            if error.errno in GONE or (error.errno in (errno.EIO, errno.ENOENT) and not alive(base)):
                print(f"the daemon is gone after {number} operations")
                os._exit(0)
            raise
    print(f"{operations} operations done")
    os._exit(0)  # leaves the descriptors of orphans to the kernel


def alive(base):
    try:
        os.stat(base)
        return True
    except OSError as error:
        return error.errno not in GONE + (errno.ENOENT,)


def read_log(log):
    """The acknowledged operations and the one in flight, if any."""
    done, pending = [], None
    if os.path.exists(log):
        for line in open(log, "rb").read().decode().splitlines():
            if line.startswith("B "):
                pending = json.loads(line[2:])
            else:
                pending["done"] = int(line[2:])
                done.append(pending)
                pending = None
    return done, pending


def found_tree(base):
    """What is on the volume, hard links as one node."""
    tree, by_inode = {}, {}
    for top, directories, files in os.walk(base):
        for name in directories + files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            node = by_inode.get(info.st_ino)
            if node is None:
                if stat.S_ISDIR(info.st_mode):
                    node = Node("directory", stat.S_IMODE(info.st_mode))
                elif stat.S_ISLNK(info.st_mode):
                    node = Node("symlink", target=os.readlink(path))
                else:
                    with open(path, "rb") as file:
                        node = Node("file", stat.S_IMODE(info.st_mode), file.read())
                    if len(node.data) != info.st_size:
                        raise ValueError(f"{path}: size {info.st_size}, {len(node.data)} bytes read")
                node.links = info.st_nlink
                by_inode[info.st_ino] = node
            tree[os.path.relpath(path, base)] = node
    return tree


def differences(found, wanted, mixed=None):
    """What is wrong in the tree found. `mixed` = (path, old data, new data): bytes of either are right there."""
    wrong = [f"{path} is missing (a {wanted[path].kind})" for path in wanted if path not in found]
    wrong += [f"{path} should not be there (a {found[path].kind})" for path in found if path not in wanted]
    for path in set(found) & set(wanted):
        a, b = found[path], wanted[path]
        if (a.kind, a.target) != (b.kind, b.target) or (a.mode != b.mode and a.kind != "symlink"):
            wrong.append(f"{path} is a {a.kind}, mode {a.mode:o}, {a.target!r}; wanted {b.kind}, {b.mode:o}, {b.target!r}")
        elif a.kind == "file":
            if mixed is not None and b is wanted[mixed[0]]:
                wrong += compare_mixed(path, a.data, mixed[1], mixed[2])
            elif a.data != b.data:
                at = next((i for i in range(min(len(a.data), len(b.data))) if a.data[i] != b.data[i]), min(len(a.data), len(b.data)))
                wrong.append(f"{path} has {len(a.data)} bytes, wanted {len(b.data)}; first difference at {at}: {bytes(a.data[at:at + 16]).hex()}, wanted {bytes(b.data[at:at + 16]).hex()}")
            links = sum(node is b for node in wanted.values())
            if a.links != links:
                wrong.append(f"{path} has link count {a.links}, wanted {links}")
    return wrong


def compare_mixed(path, data, old, new):
    if not min(len(old), len(new)) <= len(data) <= max(len(old), len(new)):
        return [f"{path} has {len(data)} bytes with a write from {len(old)} to {len(new)} in flight"]
    size = max(len(old), len(new))
    old, new = bytes(old).ljust(size, b"\0"), bytes(new).ljust(size, b"\0")
    if data == old[:len(data)] or data == new[:len(data)]:
        return []
    foreign = [i for i in range(len(data)) if data[i] != old[i] and data[i] != new[i]]
    return [f"{path} has {len(foreign)} bytes that are neither old nor new, the first at {foreign[0]}"] if foreign else []


def check(base, state, log):
    tree = load_tree(state)
    done, pending = read_log(log)
    for op in done:
        apply(tree, op)
    found = found_tree(base)
    wrong = differences(found, tree)
    outcome = "absent"
    if pending is not None and wrong:
        before = None
        if pending["op"] in DATA_OPERATIONS:
            before = bytes(tree[pending["path"]].data)
        pending["done"] = pending.get("length", 0)
        apply(tree, pending)
        mixed = None if before is None else (pending["path"], before, bytes(tree[pending["path"]].data))
        after = differences(found, tree, mixed)
        if after:
            print("without the operation in flight: " + "; ".join(wrong[:5]))
        wrong, outcome = after, "present"
    print(f"{len(done)} acknowledged, in flight: {json.dumps(pending)} ({outcome if pending else 'none'}), {len(found)} names")
    if wrong:
        print("last acknowledged: " + json.dumps(done[-3:]))
        print("\n".join(wrong[:20]))
        sys.exit(1)
    with open(state, "wb") as file:
        pickle.dump(found, file)
    if os.path.exists(log):
        os.unlink(log)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
else:
    check(*sys.argv[2:5])
