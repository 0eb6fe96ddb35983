"""Prints a git repository with a long history in fast-import format: `repository.py FILES COMMITS`."""
import random
import sys

files, commits = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(7)
out = sys.stdout.buffer
lines = {f"dir{i % 17}/sub{i % 5}/file{i}.txt": [f"line {n} of file {i}: {rng.random()}" for n in range(rng.randrange(5, 120))] for i in range(files)}
for commit in range(commits):
    out.write(b"commit refs/heads/main\n")
    out.write(f"committer A U Thor <author@example.org> {1_600_000_000 + commit * 60} +0000\n".encode())
    message = f"commit {commit}\n".encode()
    out.write(f"data {len(message)}\n".encode() + message)
    changed = list(lines) if commit == 0 else rng.sample(list(lines), 12)
    for path in changed:
        text = lines[path]
        text[rng.randrange(len(text))] = f"changed by commit {commit}: {rng.random()}"
        data = "\n".join(text).encode()
        out.write(f"M {'100755' if path.endswith('7.txt') else '100644'} inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    if commit % 10 == 9:
        out.write(f"reset refs/tags/v{commit}\nfrom refs/heads/main\n\n".encode())
out.write(b"done\n")
