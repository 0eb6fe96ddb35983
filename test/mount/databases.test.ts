// Guards: databases keep their promises on a volume (locks, fsync, shared memory, mappings), and mappings agree with read and write.
import t from 'tap';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { missing, programPath, run, runChecks, seed, shell, tryRun } from '../helpers/run.js';
import { cannotMount, scratchFile, withVolume } from '../helpers/volume.js';

t.setTimeout(600_000);
const skip = cannotMount();

interface SqliteMode {
  journal: string;
  mmapSize: number;
}

const sqliteModes: SqliteMode[] = [
  { journal: 'DELETE', mmapSize: 0 },
  { journal: 'TRUNCATE', mmapSize: 0 },
  { journal: 'PERSIST', mmapSize: 64 << 20 },
  { journal: 'WAL', mmapSize: 0 },
  { journal: 'WAL', mmapSize: 64 << 20 },
];

/** A few thousand transactions; the sum of all balances never changes. */
function transfers(count: number): string {
  const lines: string[] = [];
  let random = 12345;
  const next = (limit: number): number => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    return (random >>> 8) % limit;
  };
  for (let i = 0; i < count; i++) {
    const amount = next(100);
    lines.push('BEGIN IMMEDIATE;');
    lines.push(`UPDATE account SET balance = balance - ${String(amount)}, note = hex(randomblob(${String(next(200))})) WHERE id = ${String(next(1000))};`);
    lines.push(`UPDATE account SET balance = balance + ${String(amount)} WHERE id = (SELECT max(id) - ${String(next(1000))} FROM account);`);
    lines.push(`INSERT INTO history(amount, filler) VALUES (${String(amount)}, randomblob(${String(next(2000))}));`);
    lines.push(i % 10 === 9 ? 'ROLLBACK;' : 'COMMIT;');
    if (i % 100 === 50) lines.push(`DELETE FROM history WHERE rowid % 7 = ${String(next(7))};`);
  }
  return lines.join('\n');
}

await t.test('SQLite', { skip: skip || missing('sqlite3') }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const script = scratchFile(volume, 'transfers.sql', transfers(1500));
    for (const { journal, mmapSize } of sqliteModes) {
      const name = `${journal.toLowerCase()}-${String(mmapSize)}`;
      const database = join(volume.directory, `${name}.db`);
      const settings = `.bail on\n.timeout 60000\nPRAGMA journal_mode=${journal};\nPRAGMA synchronous=FULL;\nPRAGMA mmap_size=${String(mmapSize)};\n`;
      const made = await run('sqlite3', [database], {
        input: `${settings}CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, note TEXT); CREATE TABLE history(amount INTEGER, filler BLOB); CREATE INDEX h ON history(amount);
          WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) INSERT INTO account SELECT i, 1000, '' FROM n;`,
      });
      t.match(made.stdout.toLowerCase(), journal.toLowerCase(), `SQLite accepts the ${journal} journal`);
      // Two processes at once: locks, and in WAL mode the shared memory file, work between processes.
      await Promise.all([1, 2].map(() => run('sqlite3', [database], { input: `${settings}.read ${script}\n`, timeout: 180_000 })));
      const check = 'PRAGMA integrity_check; SELECT sum(balance) FROM account; SELECT count(*) > 0 FROM history;';
      t.equal((await run('sqlite3', [database, check])).stdout, 'ok\n1000000\n1\n', `SQLite ${name}: 3,000 transactions of two processes, integrity_check ok, no money lost`);
    }
    await volume.remount();
    for (const { journal, mmapSize } of sqliteModes) {
      const name = `${journal.toLowerCase()}-${String(mmapSize)}`;
      const after = await run('sqlite3', [join(volume.directory, `${name}.db`), 'PRAGMA integrity_check; SELECT sum(balance) FROM account; VACUUM; PRAGMA integrity_check;']);
      t.equal(after.stdout, 'ok\n1000000\nok\n', `SQLite ${name}: integrity_check ok after a remount, and after VACUUM`);
    }
  });
});

await t.test('LMDB', { skip: skip || missing('gcc', 'mdb_stat', 'mdb_dump', 'mdb_load') }, async (t) => {
  await withVolume(t, { size: '1g' }, async (volume) => {
    const program = join(volume.scratch, 'lmdb-load');
    await run('gcc', ['-O1', '-o', program, programPath('lmdb-load.c'), '-llmdb']);
    const number = String(seed());
    t.comment(`SEED=${number}`);
    for (const mode of ['plain', 'writemap']) {
      const environment = join(volume.directory, mode);
      mkdirSync(environment);
      const words = mode === 'writemap' ? ['writemap'] : [];
      const made = await tryRun(program, [environment, '2000', number, ...words]);
      t.equal(made.stderr, '', `LMDB ${mode}: 2,000 transactions agree with the model`);
      const dump = join(volume.scratch, `${mode}.dump`);
      await shell('mdb_dump -f "$2" "$1"; mkdir "$1-loaded"; mdb_load -f "$2" "$1-loaded"; mdb_dump -f "$2.again" "$1-loaded"; cmp "$2" "$2.again"', [environment, dump]);
      t.pass(`LMDB ${mode}: what mdb_dump writes mdb_load brings back`);
    }
    await volume.remount();
    for (const mode of ['plain', 'writemap']) {
      const environment = join(volume.directory, mode);
      const checked = await tryRun(program, [environment, '2000', number, 'check']);
      t.equal(checked.stderr, '', `LMDB ${mode}: everything is there after a remount`);
      t.match((await run('mdb_stat', ['-e', '-f', environment])).stdout, /Entries: [1-9]/, `LMDB ${mode}: mdb_stat reads the environment`);
    }
  });
});

await t.test('mappings', { skip: skip || missing('python3') }, async (t) => {
  await withVolume(t, { size: '512m' }, async (volume) => {
    const number = String(seed());
    await runChecks(t, 'mappings.py', [volume.directory, 'make', number]);
    await volume.remount();
    await runChecks(t, 'mappings.py', [volume.directory, 'after', number]);
  });
});
