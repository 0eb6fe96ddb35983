// Guards fsck.nvmfs as fsck(8), scripts and people use it: exit codes, nothing written with -n, what each mode repairs and asks, one
// clear line for what can't be checked. What verifier and repair do is guarded by test/unit/check.test.ts and repair.test.ts.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { asByteAddr } from '../../src/base/units.js';
import {
  BLOCK_SIZE,
  Inode,
  JournalEntry,
  JournalRecord,
  JOURNAL_ENTRY_SIZE,
  LINE_SIZE,
  Magic,
  RECORD_HEADER_SIZE,
  STATE_BLOCK,
  Superblock,
  VolumeState,
} from '../../src/format/layout.js';
import { getU64, setU64 } from '../../src/format/numbers.js';
import { MappedPmem } from '../../src/pmem/mapped.js';
import type { HandmadeVolume } from '../helpers/handmade.js';
import { Sample, sampleVolume, type SampleVolume } from '../helpers/sample-volume.js';
import { command, ROOT, run, scratchDirectory } from './command.js';

const [directory, remove] = scratchDirectory();
t.teardown(remove);
t.setTimeout(600_000);

/** Writes the volume to a sparse file. */
function imageOf(volume: HandmadeVolume, name: string): string {
  const path = join(directory, name);
  const file = openSync(path, 'w');
  ftruncateSync(file, volume.pmem.size);
  const bytes = new Uint8Array(1 << 20);
  const zero = new Uint8Array(1 << 20);
  for (let at = 0; at < volume.pmem.size; at += bytes.length) {
    const length = Math.min(bytes.length, volume.pmem.size - at);
    volume.pmem.load(asByteAddr(at), bytes, 0, length);
    if (Buffer.compare(bytes, zero) !== 0) writeSync(file, bytes, 0, length, at);
  }
  closeSync(file);
  return path;
}

const digest = (path: string): string => createHash('sha1').update(readFileSync(path)).digest('hex');

/** Puts a record with the present image of `block` at the beginning of the journal: what an unclean end leaves. */
function journalBlock(volume: HandmadeVolume, block: number): void {
  const length = RECORD_HEADER_SIZE + LINE_SIZE + BLOCK_SIZE;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  const superblock = new DataView(volume.read(0).buffer);
  view.setUint32(JournalRecord.magic, Magic.record, true);
  setU64(view, JournalRecord.sequence, 1);
  setU64(view, JournalRecord.journalId, getU64(superblock, Superblock.journalId));
  view.setUint32(JournalRecord.length, length, true);
  view.setUint32(JournalRecord.entries, 1, true);
  view.setUint32(RECORD_HEADER_SIZE + JournalEntry.block, block, true);
  bytes.fill(0xff, RECORD_HEADER_SIZE + JournalEntry.lines, RECORD_HEADER_SIZE + JOURNAL_ENTRY_SIZE);
  bytes.set(volume.read(block), RECORD_HEADER_SIZE + LINE_SIZE);
  view.setUint32(JournalRecord.checksum, volume.pmem.crc32c(volume.seed, bytes, 4, length - 4), true);
  const journalStart = getU64(superblock, Superblock.journalStart);
  volume.pmem.store(asByteAddr(journalStart * BLOCK_SIZE), bytes, 0, length);
}

t.test('a clean volume: exit 0, a summary, nothing written', (t) => {
  const path = imageOf(sampleVolume().volume, 'clean');
  const before = digest(path);
  for (const args of [['-n'], ['-af'], ['-pf'], ['-y'], ['-fn'], ['-a', '-f', '-C0'], ['-C', '0', '-n']]) {
    const { exitCode, stdout, stderr } = command('fsck.nvmfs', ...args, path);
    t.equal(exitCode, 0, args.join(' '));
    t.match(stdout, /^handmade: clean, 15 files \(28\.6% non-contiguous\), \d+\/\d+ blocks\n$/);
    t.equal(stderr, '');
  }
  for (const args of [['-a'], ['-p'], ['-a', '-C0']]) {
    t.match(command('fsck.nvmfs', ...args, path), { exitCode: 0, stdout: /^handmade: clean, 15 files, \d+\/\d+ blocks\n$/, stderr: '' });
  }
  t.match(command('fsck.nvmfs', '-nv', path).stdout, /^ +4 directories$/m);
  t.equal(digest(path), before);
  t.end();
});

t.test('errors: exit 4, one line each', (t) => {
  const path = imageOf(damaged().volume, 'damaged');
  const before = digest(path);
  const checked = command('fsck.nvmfs', '-n', path);
  t.equal(checked.exitCode, 4);
  t.match(checked.stdout, /^inode-blocks: inode 50: blocks: expected 1, found 77\nhandmade: 1 error, /);
  t.equal(checked.stderr, '');
  const json: unknown = JSON.parse(command('fsck.nvmfs', '-n', '--json', path).stdout);
  t.match(json, {
    version: 1,
    path,
    clean: false,
    journalReplayed: false,
    volume: { label: 'handmade' },
    statistics: { inodes: 15 },
    findingsTotal: 1,
    findingsByKind: { 'inode-blocks': 1 },
    findings: [{ kind: 'inode-blocks', ino: 50, expected: '1', found: '77' }],
    repair: null,
  });
  t.equal(digest(path), before);
  t.end();
});

/** A volume with an error that may be repaired without a question. */
function damaged(): SampleVolume {
  const sample = sampleVolume();
  sample.volume.editInode(Sample.farFile, (view) => {
    setU64(view, Inode.blocks, 77);
  });
  return sample;
}

/** One with another error that may not, and of which nothing is seen at first sight. */
function ruined(): SampleVolume {
  const sample = damaged();
  sample.volume.editInode(Sample.fifo, (view) => {
    setU64(view, Inode.parent, 1);
  });
  return sample;
}

t.test('-y repairs everything: exit 1, then 0', (t) => {
  const path = imageOf(ruined().volume, 'repaired');
  const repaired = command('fsck.nvmfs', '-y', path);
  t.equal(repaired.exitCode, 1);
  t.match(repaired.stdout, /^inode-parent: inode 10: parent: expected 0, found 1: correct it$/m);
  t.match(repaired.stdout, /^inode-blocks: inode 50: blocks: expected 1, found 77: correct it$/m);
  t.match(repaired.stdout, /^handmade: clean, 15 files/m);
  t.match(repaired.stderr, /VOLUME WAS MODIFIED/);
  const after = digest(path);
  t.match(command('fsck.nvmfs', '-y', path), { exitCode: 0, stderr: '' });
  t.match(command('fsck.nvmfs', '-n', path), { exitCode: 0 });
  t.equal(digest(path), after, 'a second run changes nothing');
  const report: unknown = JSON.parse(command('fsck.nvmfs', '-y', '--json', imageOf(ruined().volume, 'repaired')).stdout);
  t.match(report, { clean: true, findingsTotal: 0, repair: { found: 2, fixed: 2, left: 0, byKind: { 'inode-blocks': 1, 'inode-parent': 1 } } });
  t.end();
});

t.test('-p repairs what is safe, and nothing of a volume with other errors', (t) => {
  const safe = imageOf(damaged().volume, 'safe');
  t.match(command('fsck.nvmfs', '-p', safe), { exitCode: 0 }, 'without -f it looks at a few blocks only');
  t.match(command('fsck.nvmfs', '-pf', safe), { exitCode: 1, stdout: /inode-blocks: .*: correct it/ });
  t.match(command('fsck.nvmfs', '-n', safe), { exitCode: 0 });
  const path = imageOf(ruined().volume, 'unsafe');
  const before = digest(path);
  const refused = command('fsck.nvmfs', '-af', path);
  t.equal(refused.exitCode, 4);
  t.match(refused.stderr, /UNEXPECTED INCONSISTENCY; RUN fsck\.nvmfs MANUALLY/);
  t.match(refused.stdout, /^inode-parent: /m);
  t.equal(digest(path), before);
  const { volume } = sampleVolume();
  volume.write(volume.totalBlocks - 1, new Uint8Array(BLOCK_SIZE), false);
  const backup = imageOf(volume, 'no-backup');
  t.match(command('fsck.nvmfs', '-a', backup), { exitCode: 1, stdout: /superblock-backup/ }, 'a lost backup is seen at first sight');
  t.match(command('fsck.nvmfs', '-a', backup), { exitCode: 0 });
  t.end();
});

t.test('without a terminal nobody can be asked', (t) => {
  const path = imageOf(damaged().volume, 'no-terminal');
  const before = digest(path);
  for (const args of [[], ['-f'], ['-v']]) {
    t.match(command('fsck.nvmfs', ...args, path), { exitCode: 8, stdout: '', stderr: /^fsck\.nvmfs: a terminal is needed [^\n]+\n$/ });
  }
  t.equal(digest(path), before);
  t.end();
});

/** Runs fsck.nvmfs on a terminal, with the answers typed. */
function onTerminal(answers: string, path: string, ...args: string[]): ReturnType<typeof run> {
  return run('/usr/bin/python3', [join(ROOT, 'test/cli/terminal.py'), answers, join(ROOT, 'bin/fsck.nvmfs'), ...args, path]);
}

t.test('on a terminal every problem is a question', { skip: !existsSync('/usr/bin/python3') && 'there is no python3 to pretend a terminal' }, (t) => {
  const path = imageOf(ruined().volume, 'asked');
  const before = digest(path);
  const no = onTerminal('n', path);
  t.equal(no.exitCode, 4);
  t.match(no.stdout, /inode-parent: inode 10: parent: expected 0, found 1\r\nCorrect it\? \[Y\/n\/a\] n/);
  t.match(no.stdout, /still has errors/);
  t.equal(digest(path), before, 'what was refused was not done');
  t.equal(onTerminal('what,^C', path).exitCode, 32, 'cancelled');
  t.equal(digest(path), before);
  t.equal(onTerminal('y,n', path).exitCode, 4, 'one of two');
  t.not(digest(path), before);
  t.equal(onTerminal('', path).exitCode, 1, 'an empty line means yes');
  t.equal(onTerminal('n', path).exitCode, 0, 'nothing to ask');
  const all = onTerminal('a', imageOf(ruined().volume, 'asked'));
  t.equal(all.exitCode, 1);
  t.equal(all.stdout.split('[Y/n/a]').length, 2, 'asked once');
  t.end();
});

t.test('so many errors that not all are printed', (t) => {
  const { volume, directoryLeaf } = sampleVolume();
  volume.write(volume.inodeAt(1).block, new Uint8Array(BLOCK_SIZE), false);
  for (let i = 1; i < 400; i++) volume.write(directoryLeaf + i, new Uint8Array(BLOCK_SIZE).fill(i), false);
  volume.editBlock(volume.groupStart, (_view, bytes) => {
    bytes.fill(0xaa, 1000, 4000);
  });
  const { exitCode, stdout } = command('fsck.nvmfs', '-n', imageOf(volume, 'ruined'));
  t.equal(exitCode, 4);
  t.match(stdout, /^… and \d+ more, in all:\n( {2}[a-z-]+: \d+\n)+/m);
  t.end();
});

t.test('a journal with changes that are not in place is replayed in memory only', (t) => {
  const { volume } = sampleVolume();
  journalBlock(volume, STATE_BLOCK);
  const inPlace = command('fsck.nvmfs', '-n', imageOf(volume, 'in-place'));
  t.equal(inPlace.exitCode, 0);
  t.equal(inPlace.stderr, '');
  volume.editBlock(STATE_BLOCK, (view) => {
    setU64(view, VolumeState.freeBlocks, 1);
  });
  const path = imageOf(volume, 'unclean');
  const before = digest(path);
  const { exitCode, stdout, stderr } = command('fsck.nvmfs', '-n', path);
  t.equal(exitCode, 0);
  t.match(stdout, /: clean, 15 files/);
  t.match(stderr, /journal replayed in memory/);
  t.match(JSON.parse(command('fsck.nvmfs', '-n', '--json', path).stdout), { journalReplayed: true, clean: true });
  t.equal(digest(path), before);
  t.end();
});

t.test('a journal with changes that are not in place is replayed for good by the modes that repair', (t) => {
  for (const mode of ['-y', '-a', '-p']) {
    const { volume } = sampleVolume();
    journalBlock(volume, STATE_BLOCK);
    volume.editBlock(STATE_BLOCK, (view) => {
      setU64(view, VolumeState.freeBlocks, 1);
    });
    const path = imageOf(volume, 'replayed');
    t.match(command('fsck.nvmfs', mode, path), { exitCode: 0, stdout: /: clean, 15 files/, stderr: /journal replayed\n/ }, mode);
    t.match(command('fsck.nvmfs', '-n', path), { exitCode: 0, stderr: '' });
  }
  t.end();
});

t.test('a journal with a damaged end', (t) => {
  const { volume } = sampleVolume();
  volume.editBlock(STATE_BLOCK, (view) => {
    setU64(view, VolumeState.sequence, 5);
  });
  const path = imageOf(volume, 'journal');
  t.match(command('fsck.nvmfs', '-n', path), { exitCode: 8, stderr: /the journal is damaged/ });
  t.match(command('fsck.nvmfs', '-p', path), { exitCode: 4, stderr: /the journal is damaged.*\n.*UNEXPECTED INCONSISTENCY/ });
  t.match(command('fsck.nvmfs', '-y', path), { exitCode: 1, stdout: /^journal-damaged: / });
  t.match(command('fsck.nvmfs', '-n', path), { exitCode: 0 });
  t.end();
});

t.test('the backup superblock serves, and its use is an error to be repaired', (t) => {
  const { volume } = sampleVolume();
  volume.write(0, new Uint8Array(BLOCK_SIZE), false);
  const { exitCode, stdout, stderr } = command('fsck.nvmfs', '-n', imageOf(volume, 'no-primary'));
  t.equal(exitCode, 4);
  t.match(stdout, /^superblock-damaged: /m);
  t.match(stderr, /backup superblock is used/);
  t.match(command('fsck.nvmfs', '-y', join(directory, 'no-primary')), { exitCode: 1, stdout: /superblock-damaged/ });
  t.match(command('fsck.nvmfs', '-n', join(directory, 'no-primary')), { exitCode: 0, stderr: '' });
  t.end();
});

t.test('what cannot be checked: exit 8 and one line', (t) => {
  const garbage = join(directory, 'garbage');
  writeFileSync(garbage, Buffer.alloc(8 << 20, 0x5a));
  const short = imageOf(sampleVolume().volume, 'short');
  truncateSync(short, statSync(short).size / 2);
  const { volume } = sampleVolume();
  for (const block of [0, volume.totalBlocks - 1]) {
    volume.editBlock(block, (view) => {
      view.setUint32(Superblock.incompat, 0x10, true);
    });
  }
  const cases: [string, RegExp][] = [
    [garbage, /not an NVMFS volume/],
    [short, /medium only/],
    [imageOf(volume, 'newer'), /bit 4.*newer NVMFS/],
    [join(directory, 'missing'), /ENOENT|[Nn]o such file/],
    [directory, /directory/],
  ];
  for (const mode of ['-n', '-p', '-y']) {
    for (const [path, message] of cases) {
      const { exitCode, stdout, stderr } = command('fsck.nvmfs', mode, path);
      t.equal(exitCode, 8, `${mode} ${path}`);
      t.match(stderr, message);
      t.match(stderr, /^fsck\.nvmfs: [^\n]+\n$/);
      t.equal(stdout, '');
    }
  }
  t.end();
});

t.test('a volume in use is refused', (t) => {
  const path = imageOf(sampleVolume().volume, 'in-use');
  const holder = MappedPmem.open(path);
  const refused = ['-n', '-y', '-a'].map((mode) => command('fsck.nvmfs', mode, path));
  holder.close();
  for (const { exitCode, stderr } of refused) {
    t.equal(exitCode, 8);
    t.match(stderr, /in use/);
  }
  t.equal(command('fsck.nvmfs', '-n', path).exitCode, 0);
  t.end();
});

t.test('wrong usage: exit 16 and one line', (t) => {
  for (const args of [[], ['-n'], ['-Q', 'x'], ['a', 'b'], ['-C', 'x', 'a'], ['-n', '-y', 'a']]) {
    const { exitCode, stdout, stderr } = command('fsck.nvmfs', ...args);
    t.equal(exitCode, 16, args.join(' '));
    t.match(stderr, /^fsck\.nvmfs: [^\n]+\n$/);
    t.equal(stdout, '');
  }
  t.match(command('fsck.nvmfs', '--help'), { exitCode: 0, stdout: /^usage: / });
  t.match(command('fsck.nvmfs', '-V'), { exitCode: 0, stdout: /^fsck\.nvmfs \d/ });
  t.end();
});

t.test('a sparse terabyte is checked at once', (t) => {
  const path = join(directory, 'terabyte');
  t.equal(command('mkfs.nvmfs', '-s', '1t', path).exitCode, 0);
  const start = Date.now();
  t.match(command('fsck.nvmfs', '-n', path), { exitCode: 0, stdout: /: clean, 1 files/ });
  t.ok(Date.now() - start < 5000);
  rmSync(path);
  t.end();
});
