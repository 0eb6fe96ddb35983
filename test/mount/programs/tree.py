"""A large directory tree: `tree.py make DIR FILES SEED` makes one, `tree.py show DIR` describes one completely.

Two trees with the same description are equal in names, types, modes, owners, times (ns), contents, targets and hard links.
"""
import hashlib
import os
import random
import stat
import sys


def make(base, files, seed):
    rng = random.Random(seed)
    directories = [base]
    made = []
    os.makedirs(base)
    for i in range(files):
        if rng.random() < 0.06:
            parent = rng.choice(directories)
            if parent[len(base):].count("/") < 12:
                path = os.path.join(parent, f"d{i}-" + "n" * rng.choice((1, 8, 40, 120)))
                os.mkdir(path)
                directories.append(path)
        path = os.path.join(rng.choice(directories), f"f{i}" + "x" * rng.choice((0, 3, 12, 60)))
        kind = rng.random()
        if kind < 0.04:
            os.symlink(rng.choice(("../x", "/nowhere/" + "s" * rng.randrange(1, 200), f"f{i - 1}")), path)
        elif kind < 0.08 and made:
            os.link(rng.choice(made), path)
        elif kind < 0.085:
            os.mkfifo(path, 0o600)
        else:
            size = rng.choice((0, 1, 100, 1000, 4095, 4096, 4097, 10_000, 30_000)) if rng.random() < 0.99 else rng.randrange(1_000_000)
            with open(path, "wb") as file:
                file.write(rng.randbytes(size))
            os.chown(path, rng.choice((0, 1000, 65534)), rng.choice((0, 1000)))
            os.chmod(path, rng.choice((0o644, 0o600, 0o755, 0o400, 0o4755, 0o1666)))  # after chown, which drops set-user-id
            made.append(path)
    for top, names, leaves in os.walk(base, topdown=False):
        for name in leaves + names:
            when = rng.randrange(10**18, 1_700_000_000 * 10**9)
            os.utime(os.path.join(top, name), ns=(when, when), follow_symlinks=False)
    os.utime(base, ns=(10**18 + 1, 10**18 + 1))


def show(base):
    groups = {}
    lines = []
    for top, directories, files in os.walk(base):
        for name in sorted(directories + files) + ([""] if top == base else []):
            path = os.path.join(top, name)
            relative = os.path.relpath(path, base)
            info = os.lstat(path)
            fields = [relative, oct(info.st_mode), str(info.st_uid), str(info.st_gid), str(info.st_mtime_ns)]
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
                if len(data) != info.st_size:
                    fields.append(f"read {len(data)} of")
                fields += [str(info.st_size), hashlib.sha256(data).hexdigest()[:32]]
                if info.st_nlink > 1:
                    groups.setdefault(info.st_ino, []).append(relative)
                    fields.append(str(info.st_nlink))
            elif stat.S_ISLNK(info.st_mode):
                fields.append(os.readlink(path))
            lines.append(" ".join(fields))
    lines += ["links " + " ".join(sorted(group)) for group in groups.values()]
    print("\n".join(sorted(lines)))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    show(sys.argv[2])
