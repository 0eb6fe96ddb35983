import type { Ranges } from '../../src/fs/types.js';
import { asByteAddr } from '../../src/base/units.js';
import type { Channel } from '../../src/fuse/channel.js';
import type { ImageIdentity } from '../../src/fuse/ioctls.js';
import type { LogFunction } from '../../src/fuse/log.js';
import { Session } from '../../src/fuse/session.js';
import { SimulatedPmem } from '../../src/pmem/simulated.js';
import { FakeFileSystem } from './fuse-fake.js';

/** The kernel's end of the wire, byte by byte and independent of the offsets under test. */

const IN_HEADER = 40;
export const u32 = (...values: number[]): Buffer => join(4, values, (b, v, i) => b.writeUInt32LE(v >>> 0, i));
export const u64 = (...values: (number | bigint)[]): Buffer =>
  join(8, values, (b, v, i) => b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(v)), i));
/** A name with its NUL. */
export const name = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');

function join<T>(size: number, values: T[], write: (buffer: Buffer, value: T, at: number) => unknown): Buffer {
  const buffer = Buffer.alloc(size * values.length);
  values.forEach((value, i) => write(buffer, value, i * size));
  return buffer;
}

export interface Reply {
  error: number;
  body: Buffer;
}

/** A session over a fake filesystem, with somebody who plays the kernel. */
export class Wire implements Channel {
  readonly pmem = new SimulatedPmem(64 * 1024 * 1024);
  readonly fs = new FakeFileSystem(this.pmem);
  readonly logged: string[] = [];
  readonly session: Session;
  /** Messages sent by the session, since `ask` last took them. */
  sent: Buffer[] = [];
  /** What the next replies' system call returns; 0 when used up. */
  results: number[] = [];
  private unique = 0x1_0000_0001;

  constructor(options: { directIo?: boolean; debug?: boolean; acls?: boolean; image?: ImageIdentity } = {}) {
    const log: LogFunction = (level, message) => this.logged.push(`${level} ${message}`);
    this.session = new Session(this.fs, this, { directIo: options.directIo ?? false, acls: options.acls ?? true, debug: options.debug ?? false, log, image: options.image });
  }

  /** Sends a request and returns every message that came back. */
  exchange(opcode: number, nodeid: number, parts: Buffer[], caller: { uid?: number; gid?: number } = {}): Buffer[] {
    const body = Buffer.concat(parts);
    this.unique += 2;
    const header = Buffer.concat([
      u32(IN_HEADER + body.length, opcode), u64(this.unique, nodeid), u32(caller.uid ?? 0, caller.gid ?? 0, 4711, 0),
    ]);
    const request = Buffer.concat([header, body]);
    this.sent = [];
    this.session.buffer.set(request);
    this.session.handle(request.length);
    return this.sent;
  }

  /** A request that must get exactly one reply, well-formed and with its unique. */
  ask(opcode: number, nodeid: number, parts: Buffer[] = [], caller: { uid?: number; gid?: number } = {}): Reply {
    const replies = this.exchange(opcode, nodeid, parts, caller).filter((message) => message.readBigUInt64LE(8) !== 0n);
    const [reply] = replies;
    if (replies.length !== 1 || reply === undefined) throw new Error(`opcode ${String(opcode)} got ${String(replies.length)} replies`);
    if (reply.readUInt32LE(0) !== reply.length) throw new Error('a reply states its length');
    if (reply.readBigUInt64LE(8) !== BigInt(this.unique)) throw new Error('a reply carries the unique of its request');
    const error = reply.readInt32LE(4);
    if (error !== 0 && reply.length !== 16) throw new Error('an error has no body');
    return { error: -error, body: reply.subarray(16) };
  }

  reply(bytes: Uint8Array, offset: number, length: number): number {
    const result = this.results.shift() ?? 0;
    if (result === 0) this.sent.push(Buffer.from(bytes.subarray(offset, offset + length)));
    return result;
  }

  replyMapped(header: Uint8Array, headerLength: number, ranges: Ranges): number {
    const result = this.results.shift() ?? 0;
    if (result !== 0) return result;
    const parts = [Buffer.from(header.subarray(0, headerLength))];
    for (let i = 0; i < ranges.count; i++) {
      const part = Buffer.alloc(ranges.lengths[i] ?? 0);
      const address = ranges.addresses[i] ?? -1;
      if (address >= 0) this.pmem.load(asByteAddr(address), part, 0, part.length);
      parts.push(part);
    }
    this.sent.push(Buffer.concat(parts));
    return 0;
  }
}
