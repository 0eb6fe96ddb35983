/**
 * A server that kills itself: the ordinary one, with deaths added. `mortal.js CONTROL PLAN SUPERVISOR`: the file CONTROL, written anew
 * by the test at any time, says how (see Deaths).
 */
import { readFileSync } from 'node:fs';
import { Random } from '../../../src/base/random.js';
import { main } from '../../../src/daemon/server.js';
import { DevFuseTransport } from '../../../src/fuse/devfuse.js';
import { InitFlag2 } from '../../../src/fuse/flags.js';
import { Session } from '../../../src/fuse/session.js';
import { MappedPmem } from '../../../src/pmem/mapped.js';

/** What the control file says, as JSON. */
export interface Deaths {
  /** SIGKILL at an event (store, fence, reply: before and after) chosen by this seed and the process; 0: none. */
  readonly seed: number;
  /** Events until then, at most. */
  readonly events: number;
  /** SIGKILL as soon as a request is about this name. */
  readonly name?: string;
  /** Instead of opening the volume, end. */
  readonly broken?: boolean;
  /** Pretend that the kernel can't send requests again. */
  readonly noResend?: boolean;
}

type Method = (...given: unknown[]) => unknown;

const [control = '', ...args] = process.argv.slice(2);
const deaths = JSON.parse(readFileSync(control, 'utf8')) as Deaths;

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

let left = deaths.seed === 0 ? Infinity : 1 + new Random((deaths.seed ^ Math.imul(process.pid, 0x9e3779b1)) >>> 0).below(deaths.events);

function event(): void {
  left -= 1;
  if (left === 0) die();
}

/** Events begin with the first request that is received: starting is left to the kills from outside. */
let serving = false;

/** Before and after each call of a method. */
function haunt<T extends object>(prototype: T, ...methods: (keyof T & string)[]): void {
  for (const method of methods) {
    const original: unknown = prototype[method];
    prototype[method] = function (this: T, ...given: unknown[]): unknown {
      if (serving) event();
      const result: unknown = Reflect.apply(original as Method, this, given);
      if (serving) event();
      return result;
    } as T[keyof T & string];
  }
}

haunt(MappedPmem.prototype, 'store', 'zero', 'fence');
haunt(DevFuseTransport.prototype, 'reply', 'replyMapped');

const handle: unknown = Reflect.get(Session.prototype, 'handle');
Session.prototype.handle = function (this: Session, length: number): void {
  serving = true;
  event();
  Reflect.apply(handle as Method, this, [length]);
  event();
  const { protocol } = this;
  if (deaths.noResend === true && protocol !== null) this.shared.protocol = { ...protocol, flags2: protocol.flags2 & ~InitFlag2.HAS_RESEND };
};

const serve: unknown = Reflect.get(Session.prototype, 'serve');
Reflect.set(Session.prototype, 'serve', function (this: Session): void {
  if (deaths.name !== undefined && this.buffer.subarray(40, this.request.length).includes(Buffer.from(`${deaths.name}\0`))) die();
  Reflect.apply(serve as Method, this, []);
});

if (deaths.broken === true) Reflect.set(MappedPmem, 'open', () => process.exit(1));
await main(args);
