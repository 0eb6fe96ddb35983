// A persistent counter and a ring log, in one mapped file: node demo/ring-log.mjs FILE [MESSAGE …]. Each run counts itself, appends its messages, and
// prints what the log holds. Nothing is written with system calls, and a run that is killed leaves whole records only.
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { map } from 'nvmfs';

const HEADER = 64; // counter (u64), number of the next record (u64)
const RECORD = 64; // number + 1 (u64), length (u32), text
const TEXT = RECORD - 12;
const RECORDS = 63;

const [file, ...messages] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node demo/ring-log.mjs FILE [MESSAGE …]');
  process.exit(2);
}
const fd = openSync(file, 'a+'); // made if it is missing
closeSync(fd);
const opened = openSync(file, 'r+');
ftruncateSync(opened, HEADER + RECORDS * RECORD); // 4096 bytes
const log = map(opened);
closeSync(opened);

const numbers = new DataView(log.buffer);
const bytes = Buffer.from(log.buffer);

function append(text) {
  const next = numbers.getBigUint64(8, true);
  const at = HEADER + Number(next % BigInt(RECORDS)) * RECORD;
  const length = Math.min(TEXT, Buffer.byteLength(text));
  // The record is no record while it changes; its number makes it one again. Each step is durable before the next.
  numbers.setBigUint64(at, 0n, true);
  log.persist(at, 8);
  bytes.fill(0, at + 12, at + RECORD);
  bytes.write(text, at + 12, length);
  numbers.setUint32(at + 8, length, true);
  log.persist(at + 8, RECORD - 8);
  numbers.setBigUint64(at, next + 1n, true);
  log.persist(at, 8);
  numbers.setBigUint64(8, next + 1n, true);
  log.persist(8, 8);
}

// Eight aligned bytes are never torn: the counter needs no more than this.
numbers.setBigUint64(0, numbers.getBigUint64(0, true) + 1n, true);
log.persist(0, 8);
for (const message of messages) append(message);

console.log(`run ${numbers.getBigUint64(0, true)}${log.isDirect ? ', mapped from the medium' : ''}`);
const records = [];
for (let at = HEADER; at < HEADER + RECORDS * RECORD; at += RECORD) {
  const number = numbers.getBigUint64(at, true);
  if (number > 0n) records.push([number, bytes.toString('utf8', at + 12, at + 12 + numbers.getUint32(at + 8, true))]);
}
records.sort(([a], [b]) => (a < b ? -1 : 1));
for (const [number, text] of records) console.log(`${number}: ${text}`);
log.unmap();
