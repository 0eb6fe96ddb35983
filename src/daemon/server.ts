import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { addon } from '../../native/addon.js';
import { assert } from '../base/assert.js';
import { FsError, messageOf } from '../base/errno.js';
import type { FileSystemOperations } from '../fs/operations.js';
import { References } from '../fs/references.js';
import { SEGMENT_BACKINGS, SEGMENT_BYTES, SEGMENT_CACHED, SEGMENT_COUNTERS, SEGMENT_OPENS } from '../fs/segment.js';
import { type KeptState, openVolume } from '../fs/volume.js';
import { Backings } from '../fuse/backings.js';
import { DevFuseTransport } from '../fuse/devfuse.js';
import type { ImageIdentity } from '../fuse/ioctls.js';
import type { LogFunction } from '../fuse/log.js';
import { SharedState } from '../fuse/shared-state.js';
import { isUnanswered, noteCommitted, resend, settleInFlight } from '../fuse/takeover.js';
import { MappedPmem } from '../pmem/mapped.js';
import type { DurabilityDomain } from '../pmem/pmem.js';
import { Exit } from './exit-codes.js';
import { MountFollower } from './mount-follower.js';
import { describeMount, type MountPlan, mountSettings, volumeOptions } from './plan.js';
import { regionsOf } from './regions.js';
import { mapControl, SegmentPages } from './segment.js';
import { Order, ServerFd, type ServerReport } from './server-process.js';

/** After the order to stop, requests of those who still use a detached mount are answered for at most this long. */
const GRACE_MS = 1000;

/**
 * The program of a server: opens the volume and serves it, as a supervisor orders (see Order). `args`: the plan as JSON, and the
 * supervisor's process id.
 */
export async function main(args: readonly string[]): Promise<never> {
  const plan = JSON.parse(args[0] ?? 'null') as MountPlan;
  addon.dieWithParent(Number(args[1]));
  process.title = `nvmfs-server ${plan.image} ${plan.directory}`;
  // Whoever ends a whole group of processes leaves it to the supervisor to unmount, which needs this one.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('uncaughtException', (error) => {
    log('error', `the server failed; this is a bug of nvmfs: ${messageOf(error)}`);
    process.exit(Exit.crashed);
  });
  let server: Server;
  try {
    server = makeServer(plan);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    report({ failed: { errno: error.errno, message: error.message } });
    process.exit(Exit.notMounted);
  }
  process.exit(await server.run());
}

function report(said: ServerReport): void {
  writeSync(ServerFd.reports, `${JSON.stringify(said)}\n`);
}

const log: LogFunction = (level, message) => {
  report({ log: [level, message] });
};

/** Waits for the first orders and does what they say, up to the point where requests are served. */
function makeServer(plan: MountPlan): Server {
  const { order, descriptor } = addon.receiveOrder(ServerFd.orders);
  if (order === -1) process.exit(Exit.done); // a reserve that was never needed
  if (order === Order.serve) return takeOver(plan, descriptor);
  assert(order === Order.open, 'a server opens a volume or takes one over');
  const volume = new OpenVolume(plan);
  report({ opened: describeMount(plan, volume.pmem) });
  const next = addon.receiveOrder(ServerFd.orders);
  if (next.order === -1) {
    volume.fs.close();
    process.exit(Exit.done);
  }
  assert(next.order === Order.serve, 'a server serves the volume it has opened');
  return new Server(plan, volume, next.descriptor);
}

function takeOver(plan: MountPlan, device: number): Server {
  const channel = { reply: (bytes: Uint8Array, offset: number, length: number) => addon.reply(device, bytes, offset, length) };
  const volume = new OpenVolume(plan, (idLow, idHigh) => isUnanswered(channel, idLow, idHigh));
  if (!resend(channel)) throw new FsError('EOPNOTSUPP', 'the kernel can not send its requests again (that needs Linux 6.9)');
  return new Server(plan, volume, device);
}

/** The volume with what former servers of the mount left for it. */
class OpenVolume {
  readonly shared = new SharedState(mapControl(ServerFd.segment));
  readonly backings = new Backings(new SegmentPages(ServerFd.segment, SEGMENT_BACKINGS, SEGMENT_BYTES));
  readonly pmem: MappedPmem;
  readonly fs: FileSystemOperations;
  /** How often each file is open through the page cache. */
  readonly cached: References;

  /** `probe`: whether the kernel waits for the answer to a request; needed if there was a former server. */
  constructor(plan: MountPlan, probe: (idLow: number, idHigh: number) => boolean = () => false) {
    const { shared } = this;
    const references = new References(new SegmentPages(ServerFd.segment, SEGMENT_COUNTERS, SEGMENT_CACHED), shared.referenceLog);
    this.cached = new References(new SegmentPages(ServerFd.segment, SEGMENT_CACHED, SEGMENT_OPENS), shared.cachedLog);
    const opens = new References(new SegmentPages(ServerFd.segment, SEGMENT_OPENS, SEGMENT_BACKINGS), shared.openLog);
    settleInFlight(shared, { references, opens, cached: this.cached }, probe);
    const { readOnly, domain } = plan.options;
    this.pmem = MappedPmem.open(plan.image, { readOnly, descriptor: ServerFd.image, ...(domain === null ? {} : { domain }) });
    const kept: KeptState = {
      references,
      opens,
      times: shared.times,
      leases: shared.leases,
      damage: shared,
      recovered: (nextSequence, find) => {
        if (shared.firstSequence === 0) shared.firstSequence = nextSequence;
        noteCommitted(shared, (idLow, idHigh) => find(idLow, idHigh, shared.firstSequence));
      },
    };
    try {
      this.fs = openVolume(this.pmem, { ...volumeOptions(plan, log), regions: regionsOf(plan, this.pmem), kept });
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      throw new FsError(error.errno, `${plan.image}: ${error.message}`);
    }
  }
}

/** What programs that map the medium themselves must know to find it. */
function imageIdentity(plan: MountPlan, domain: DurabilityDomain): ImageIdentity {
  const { dev: device, ino: inode } = fstatSync(ServerFd.image, { bigint: true });
  return { device, inode, path: plan.image, domain, declared: plan.options.declaredPmem };
}

/** Serves the open volume until the end. */
class Server {
  private readonly transport: DevFuseTransport;

  constructor(
    private readonly plan: MountPlan,
    private readonly volume: OpenVolume,
    device: number,
  ) {
    const settings = mountSettings(plan);
    const follower = new MountFollower(volume.fs);
    follower.follow(settings.directory, settings.source);
    // What a former server had been told by a remount.
    follower.followMount();
    const kept = { backings: volume.backings, cached: volume.cached, image: imageIdentity(plan, volume.pmem.domain) };
    this.transport = new DevFuseTransport(device, volume.fs, volume.pmem.handle, settings, log, volume.shared, follower, kept);
  }

  /** Returns the exit code. */
  async run(): Promise<number> {
    const { plan, transport } = this;
    this.obeyOrders();
    const ended = transport.serve();
    report({ serving: true });
    const end = await ended;
    if (end === 'shut down') {
      log('warning', `${plan.image} on ${plan.directory}: shut down, nothing was flushed`);
      return Exit.shutDown;
    }
    transport.close();
    try {
      this.volume.fs.close();
    } catch (error) {
      log('error', `${plan.image} on ${plan.directory}: ${messageOf(error)}`);
      return Exit.unclean;
    }
    log('info', `${plan.image} on ${plan.directory}: ${end}, volume closed`);
    return Exit.done;
  }

  /** From now on orders come as events; the end of the socket is the end of the supervisor. */
  private obeyOrders(): void {
    const orders = new Socket({ fd: ServerFd.orders, readable: true, writable: false });
    orders.on('data', (bytes) => {
      if (bytes.includes(Order.stop)) this.transport.stop(GRACE_MS);
    });
    orders.on('close', () => process.exit(Exit.crashed));
  }
}
