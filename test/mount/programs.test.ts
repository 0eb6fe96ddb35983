// Guards: ordinary programs (git, tar, make, gcc, the dynamic loader) work on a mount as on any disk, and find their files after a remount.
import t from 'tap';
import { join } from 'node:path';
import { missing, programPath, python, run, seed, shell } from '../helpers/run.js';
import { cannotMount, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotMount();

/** git without the configuration of whoever runs the tests. */
const git = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'A U Thor',
  GIT_AUTHOR_EMAIL: 'author@example.org',
  GIT_COMMITTER_NAME: 'A U Thor',
  GIT_COMMITTER_EMAIL: 'author@example.org',
};

await t.test('git: clone, commit, gc, fsck', { skip: skip || missing('git', 'python3') }, async (t) => {
  await withVolume(t, { size: '1g' }, async (volume) => {
    const options = { cwd: volume.scratch, env: git };
    await shell('git init -q -b main source && "$1" "$2" 300 150 | git -C source fast-import --quiet --done', [python, programPath('repository.py')], options);
    const clone = join(volume.directory, 'clone');
    await run('git', ['clone', '-q', `file://${volume.scratch}/source`, clone], options);
    const count = await run('git', ['-C', clone, 'rev-list', '--count', 'HEAD'], options);
    t.equal(count.stdout.trim(), '150', 'git clone brings every commit to the volume');
    await shell(
      `cd "$1"
      git checkout -q -b work HEAD~20
      for i in 1 2 3 4 5 6 7 8 9 10; do
        echo "$i" >> dir1/sub1/file1.txt; mkdir -p new$i; seq 1 $((i * 500)) > new$i/numbers; git mv dir2/sub2/file2.txt dir2/sub2/renamed 2>/dev/null || true
        git add -A; git commit -q -m "commit $i"
      done
      git checkout -q main; git merge -q -m merge work; git stash list; git branch -d -q work
      git gc -q --prune=now; git repack -q -a -d -f --window=50; git fsck --full --strict`,
      [clone],
      options,
    );
    await volume.remount();
    const fsck = await run('git', ['-C', clone, 'fsck', '--full', '--strict'], options);
    t.notMatch(fsck.stderr, /error|missing|corrupt/, 'git fsck finds nothing after gc and a remount');
    const status = await run('git', ['-C', clone, 'status', '--porcelain'], options);
    t.equal(status.stdout, '', 'git finds its index and its files in agreement after a remount');
    await shell('git clone -q "file://$1" back && git -C back rev-parse HEAD > a && git -C "$1" rev-parse HEAD > b && cmp a b && diff -r --exclude=.git back "$1"', [clone], options);
    t.pass('a clone of the clone has the same files');
  });
});

await t.test('tar: a large tree in and out', { skip: skip || missing('tar', 'python3') }, async (t) => {
  await withVolume(t, { size: '2g' }, async (volume) => {
    const number = seed();
    t.comment(`SEED=${String(number)}`);
    const tree = join(volume.scratch, 'tree');
    const describe = async (path: string): Promise<string[]> => (await run(python, [programPath('tree.py'), 'show', path])).stdout.trim().split('\n');
    /** The first few lines in which two descriptions differ. */
    const differences = (a: string[], b: string[]): string[] => {
      const [inA, inB] = [new Set(a), new Set(b)];
      return [...a.filter((line) => !inB.has(line)).map((line) => `- ${line}`), ...b.filter((line) => !inA.has(line)).map((line) => `+ ${line}`)].slice(0, 20);
    };
    await run(python, [programPath('tree.py'), 'make', tree, '11000', String(number)]);
    const original = await describe(tree);
    t.ok(original.length > 11_000, `the tree has ${String(original.length)} entries`);
    const inside = join(volume.directory, 'inside');
    await shell('tar --format=posix -C "$1" -cf tree.tar . && mkdir "$2" && tar -C "$2" -xpf tree.tar --numeric-owner', [tree, inside], { cwd: volume.scratch });
    t.same(differences(original, await describe(inside)), [], 'tar brings a tree in: contents, modes, owners, mtime in ns, symlinks, hard links');
    await volume.remount();
    t.same(differences(original, await describe(inside)), [], 'the tree is the same after a remount');
    await shell('mkdir back && tar --format=posix -C "$1" -cf - . | tar -C back -xpf - --numeric-owner', [inside], { cwd: volume.scratch });
    t.same(differences(original, await describe(join(volume.scratch, 'back'))), [], 'tar brings the tree out again');
    await shell('cp -a "$1" "$2/copy"; mv "$1" "$2/moved"; rm -rf "$2/moved"', [inside, volume.directory]);
    t.same(differences(original, await describe(join(volume.directory, 'copy'))), [], 'cp -a inside the volume copies everything');
    await run('rm', ['-rf', join(volume.directory, 'copy')]);
  });
});

await t.test('make -j2, and programs run in place', { skip: skip || missing('gcc', 'make', 'ar', 'python3') }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const project = join(volume.directory, 'project');
    const wanted = (await run(python, [programPath('project.py'), project, '200'])).stdout;
    await run('make', ['-s', '-j2', '-C', project], { timeout: 240_000 });
    const program = join(project, 'program');
    t.equal((await run(program, [])).stdout, wanted, 'a program built on the volume runs in place, with its shared library');
    const again = await run('make', ['-C', project, '-q'], { timeout: 60_000 });
    t.equal(again.status, 0, 'make finds nothing to do: the order of mtimes is right');
    await volume.remount();
    t.equal((await run(program, [])).stdout, wanted, 'it runs after a remount');
    t.equal((await run('make', ['-C', project, '-q'])).status, 0, 'make finds nothing to do after a remount');
    await shell('cd "$1"; ldd program | grep -q libshared; printf "#!/bin/sh\\necho script\\n" > script; chmod +x script; ./script > /dev/null', [project]);
    t.pass('a script runs from the volume');
    await run('make', ['-s', '-j2', '-B', '-C', project, 'src/part1.o', 'libshared.so'], { timeout: 240_000 });
    t.equal((await run(program, [])).stdout, wanted, 'a library rebuilt over the old one works');
  });
});
