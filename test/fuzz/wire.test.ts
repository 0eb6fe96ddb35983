// Guards promise 7 at the other door: whatever bytes come as a request, the session never throws, answers once at most, and
// the volume stays well.
//
// SEED=n replays; FUZZ_REQUESTS=n sends more.
import t from 'tap';
import { Random } from '../../src/base/random.js';
import { asByteAddr } from '../../src/base/units.js';
import type { Ranges } from '../../src/fs/types.js';
import { openVolume } from '../../src/fs/volume.js';
import type { Channel } from '../../src/fuse/channel.js';
import { Opcode } from '../../src/fuse/opcodes.js';
import { Session } from '../../src/fuse/session.js';
import { verifyVolume } from '../../src/check/verify.js';
import { seed } from '../helpers/run.js';
import type { SimulatedPmem } from '../../src/pmem/simulated.js';
import { baseImages } from './base-images.js';
import { BudgetedPmem } from './budgeted-pmem.js';

const SEED = seed();
const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 30_000);
/** Requests sent to a volume before it is closed and verified. */
const REQUESTS_PER_VOLUME = 1500;
const HEADER = 40;
/** Requests that no reply belongs to. */
const SILENT = new Set<number>([Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY]);

t.comment(`SEED=${String(SEED)}`);
t.setTimeout(600_000);

/** Plays the kernel that gets the replies. */
class Kernel implements Channel {
  replies: { unique: bigint; error: number; length: number; claimed: number }[] = [];
  /** What the next reply's system call returns. */
  result = 0;

  constructor(private readonly pmem: BudgetedPmem) {}

  reply(bytes: Uint8Array, offset: number, length: number): number {
    if (this.result !== 0) return this.refuse();
    const view = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length);
    const unique = view.readBigUInt64LE(8);
    // 0: a notification, which answers nothing.
    if (unique !== 0n) this.replies.push({ unique, error: view.readInt32LE(4), length, claimed: view.readUInt32LE(0) });
    return 0;
  }

  replyMapped(header: Uint8Array, headerLength: number, ranges: Ranges): number {
    if (this.result !== 0) return this.refuse();
    const view = Buffer.from(header.buffer, header.byteOffset, headerLength);
    let length = headerLength;
    for (let i = 0; i < ranges.count; i += 1) {
      const part = new Uint8Array(ranges.lengths[i] as number);
      if ((ranges.addresses[i] as number) >= 0) this.pmem.load(asByteAddr(ranges.addresses[i] as number), part, 0, part.length);
      length += part.length;
    }
    this.replies.push({ unique: view.readBigUInt64LE(8), error: 0, length, claimed: view.readUInt32LE(0) });
    return 0;
  }

  private refuse(): number {
    const { result } = this;
    this.result = 0;
    return result;
  }
}

const NAMES = ['many', 'deep', 'scattered', 'holes', 'long 5', 'long 4095', 'fifo', 'new', 'newer', '.', '..', '', 'a/b', 'x'.repeat(255), 'x'.repeat(256), 'y'.repeat(5000), '\xff\xfe', '/'];
const EDGES = [0n, 1n, 2n, 3n, 4096n, 4095n, 2n ** 20n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** Bytes that may be the arguments of any request: numbers at the edges, names with and without an end. */
function body(random: Random): Buffer {
  const parts: Buffer[] = [];
  const numbers = random.below(12);
  for (let i = 0; i < numbers; i += 1) {
    const part = Buffer.alloc(8);
    const value = random.chance(0.5) ? random.pick(EDGES) : random.chance(0.5) ? BigInt(random.below(200)) : BigInt(random.nextU32()) * BigInt(random.nextU32());
    part.writeBigUInt64LE(value);
    parts.push(random.chance(0.3) ? part.subarray(0, 4) : part);
  }
  const names = random.below(3);
  for (let i = 0; i < names; i += 1) parts.push(Buffer.from(`${random.pick(NAMES)}${random.chance(0.9) ? '\0' : ''}`, 'latin1'));
  if (random.chance(0.1)) {
    const noise = Buffer.alloc(random.below(9000));
    random.bytes(noise);
    parts.push(noise);
  }
  return Buffer.concat(parts);
}

function request(random: Random, unique: bigint): { bytes: Buffer; opcode: number; whole: boolean } {
  const opcode = random.chance(0.95) ? random.pick(Object.values(Opcode)) : random.nextU32();
  const arguments_ = body(random);
  const bytes = Buffer.alloc(HEADER + arguments_.length);
  const whole = random.chance(0.97);
  bytes.writeUInt32LE(whole ? bytes.length : random.nextU32(), 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(unique, 8);
  bytes.writeBigUInt64LE(random.chance(0.9) ? BigInt(random.between(0, 60)) : random.pick(EDGES), 16);
  bytes.writeUInt32LE(random.pick([0, 1000, 0xffffffff]), 24);
  arguments_.copy(bytes, HEADER);
  // Cut short, with a header that says so or not.
  if (!random.chance(0.03)) return { bytes, opcode, whole };
  const cut = bytes.subarray(0, random.below(bytes.length));
  if (cut.length >= 4 && random.chance(0.5)) cut.writeUInt32LE(cut.length, 0);
  return { bytes: cut, opcode, whole: cut.length >= HEADER && cut.readUInt32LE(0) === cut.length };
}

/** Sends requests to a volume and verifies it in the end; what is wrong, undefined: nothing. */
function bombard(medium: SimulatedPmem, random: Random, count: number): string | undefined {
  const pmem = new BudgetedPmem(medium, 5_000_000);
  const fs = openVolume(pmem, { cacheBytes: 2 * 1024 * 1024 });
  const kernel = new Kernel(pmem);
  const logged: string[] = [];
  const session = new Session(fs, kernel, { directIo: random.chance(0.5), acls: random.chance(0.5), debug: random.chance(0.1), log: (_level, message) => logged.push(message) });
  for (let i = 0; i < count; i += 1) {
    const unique = BigInt(i + 1) * 2n;
    const { bytes, opcode, whole } = request(random, unique);
    kernel.replies = [];
    const refused = random.chance(0.02);
    kernel.result = refused ? random.pick([-2, -22, -5]) : 0;
    session.buffer.set(bytes);
    const what = `request ${String(i)}, opcode ${String(opcode)}, ${bytes.length < 300 ? bytes.toString('hex') : `${String(bytes.length)} bytes`}`;
    try {
      session.handle(bytes.length);
    } catch (error) {
      return `${what}: handle threw ${error instanceof Error ? (error.stack ?? '') : String(error)}`;
    }
    const { replies } = kernel;
    const least = whole && !refused && !SILENT.has(opcode) ? 1 : 0;
    const most = SILENT.has(opcode) || !whole ? 0 : 1;
    if (replies.length < least || replies.length > most) return `${what}: ${String(replies.length)} replies`;
    for (const reply of replies) {
      if (reply.unique !== unique || reply.claimed !== reply.length || reply.error > 0 || reply.error < -600) return `${what}: a malformed reply ${JSON.stringify(reply, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`;
    }
    // The kernel refusing a reply as malformed is our bug, unless it is played.
    const bug = logged.find((message) => /bug of nvmfs/.test(message) && !/the kernel takes every reply/.test(message));
    if (bug !== undefined) return `${what}: ${bug}`;
    logged.length = 0;
    if (random.chance(0.05)) fs.backgroundStep();
  }
  fs.close();
  const { clean, findings } = verifyVolume(medium);
  return clean ? undefined : `the volume is damaged: ${findings.map((finding) => finding.message).slice(0, 5).join('; ')}`;
}

await t.test('malformed requests', async (t) => {
  const images = baseImages().filter((image) => image.name === 'varied' || image.name === 'full');
  const rounds = Math.ceil(REQUESTS / REQUESTS_PER_VOLUME);
  for (let round = 0; round < rounds; round += 1) {
    const random = new Random(SEED + round);
    const problem = bombard(random.pick(images).medium.fork(), random, REQUESTS_PER_VOLUME);
    if (problem === undefined) continue;
    t.fail(problem, { seed: SEED + round });
    return;
  }
  t.pass(`${String(rounds * REQUESTS_PER_VOLUME)} requests`);
});
