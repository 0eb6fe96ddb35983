// Guards the documents: every command that README and doc/ show exists, and those marked to be run do what they say.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isRoot, ROOT, run } from './command.js';

/** A block of commands: the word after `sh` says whether it is run here (`run`), on a real mount (`tour`), or only looked up. */
interface Block {
  readonly file: string;
  readonly mark: string;
  readonly text: string;
}

const documents = ['README.md', ...readdirSync(join(ROOT, 'doc')).map((name) => join('doc', name))].filter((name) => name.endsWith('.md'));

function blocksOf(file: string): Block[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^```sh([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({ file, mark: match[1]?.trim() ?? '', text: match[2] ?? '' }));
}

const blocks = documents.flatMap(blocksOf);

/** Commands of a block, one per line. */
function commandsOf({ text }: Block): string[] {
  return text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/** Programs that Debian has for sure, once the packages of the tests are installed. */
function isProgram(name: string): boolean {
  return run('bash', ['-c', 'command -v "$1"', 'bash', name]).exitCode === 0;
}

function makeTargets(): Set<string> {
  const database = run('make', ['--no-print-directory', '-rRpnq', '.nothing']).stdout;
  return new Set([...database.matchAll(/^([a-z][a-z-]*):/gm)].map((match) => match[1] ?? ''));
}

t.test('the documents have commands', (t) => {
  t.ok(blocks.some((block) => block.mark === 'tour'), 'a tour');
  t.ok(blocks.some((block) => block.mark === 'run'), 'some to be run');
  t.end();
});

t.test('every command exists', (t) => {
  const targets = makeTargets();
  for (const block of blocks) {
    t.equal(run('bash', ['-n', '-c', block.text]).exitCode, 0, `${block.file}: bash can parse\n${block.text}`);
    for (const line of commandsOf(block)) {
      const words = line.trim().split(/\s+/).filter((word) => !/^[A-Z_]+=/.test(word));
      const [program = '', target] = words;
      if (program === 'make') t.ok(target !== undefined && targets.has(target), `${block.file}: make has the target ${String(target)}`);
      else if (program.includes('/')) t.ok(existsSync(join(ROOT, program)), `${block.file}: ${program} is in the tree`);
      else t.ok(isProgram(program), `${block.file}: ${program} is a program`);
    }
  }
  t.end();
});

for (const block of blocks.filter(({ mark }) => mark === 'run')) {
  for (const line of commandsOf(block)) {
    t.test(`${block.file}: ${line}`, (t) => {
      const { exitCode, stderr } = run('bash', ['-e', '-c', line]);
      t.equal(exitCode, 0, stderr);
      t.end();
    });
  }
}

const canMount = isRoot() && existsSync('/dev/fuse') && existsSync('/dev/shm');
for (const block of blocks.filter(({ mark }) => mark === 'tour')) {
  t.test(`${block.file}: the tour`, { skip: canMount ? false : 'needs root, /dev/fuse and /dev/shm' }, (t) => {
    t.teardown(() => {
      run('umount', ['-l', '/tmp/nvmfs-tour']);
      rmSync('/dev/shm/tour.nvmfs', { force: true });
      rmSync('/tmp/nvmfs-tour', { recursive: true, force: true });
    });
    const { exitCode, stdout, stderr } = run('bash', ['-e', '-c', block.text]);
    t.equal(exitCode, 0, stderr);
    t.match(stdout, /^hello$/m, 'the file has what was written');
    t.match(stdout, /fuse\.nvmfs/, 'df shows the type');
    t.end();
  });
}

t.test('links lead somewhere', (t) => {
  for (const file of documents) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const match of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      const target = match[1] ?? '';
      if (/^[a-z]+:/.test(target)) continue;
      t.ok(existsSync(join(ROOT, file, '..', target)), `${file} links to ${target}`);
    }
  }
  t.end();
});

t.test('every path in the table of README is in the tree', (t) => {
  const table = readFileSync(join(ROOT, 'README.md'), 'utf8').split('## The tree')[1] ?? '';
  const rows = [...table.matchAll(/^\| `([a-z]+)`/gm)].map((match) => match[1] ?? '');
  t.ok(rows.length >= 6, 'the table was found');
  for (const path of rows) t.ok(existsSync(join(ROOT, path)), path);
  t.end();
});

t.test('the manual pages are without warnings', (t) => {
  const pages = readdirSync(join(ROOT, 'man')).map((name) => join('man', name));
  t.same(pages.sort(), ['man/fsck.nvmfs.8', 'man/mkfs.nvmfs.8', 'man/mount.nvmfs.8', 'man/nvm.3', 'man/nvmfs.8']);
  const { exitCode, stdout, stderr } = run('scripts/lint-man', pages);
  t.equal(exitCode, 0, stdout + stderr);
  t.end();
});

t.test('make help lists the targets that people use', (t) => {
  const { exitCode, stdout } = run('make', ['--no-print-directory', 'help']);
  t.equal(exitCode, 0);
  for (const target of ['run', 'test', 'check', 'build', 'install', 'uninstall', 'bench', 'clean', 'distclean', 'deps', 'addon']) {
    t.match(stdout, new RegExp(`^  ${target} +\\S`, 'm'), target);
  }
  t.end();
});

t.test('every option that a command explains is in its manual page', (t) => {
  for (const [name, page] of [['mkfs.nvmfs', 'mkfs.nvmfs.8'], ['fsck.nvmfs', 'fsck.nvmfs.8']] as const) {
    const manual = readFileSync(join(ROOT, 'man', page), 'utf8').replaceAll('\\-', '-');
    const options = run(join(ROOT, 'bin', name), ['--help']).stdout.match(/^ .*?(--[a-z-]+)/gm) ?? [];
    t.ok(options.length > 4, `${name} explains options`);
    for (const option of options) {
      const long = /--[a-z-]+/.exec(option)?.[0] ?? '';
      t.ok(manual.includes(long), `${page} has ${long}`);
    }
  }
  t.end();
});
