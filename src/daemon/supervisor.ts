import { closeSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FsError } from '../base/errno.js';
import { mountDevice } from '../fuse/devfuse-mount.js';
import { InitFlag2 } from '../fuse/flags.js';
import type { LogFunction } from '../fuse/log.js';
import { SharedState } from '../fuse/shared-state.js';
import { lockImage } from '../pmem/open.js';
import { Exit } from './exit-codes.js';
import { OwnMount } from './own-mount.js';
import { type MountPlan, mountSettings, whenNotMounted } from './plan.js';
import { createSegment, mapControl } from './segment.js';
import { describeEnd, SERVER_COMMAND, type ServerCommand, type ServerEnd, ServerProcess } from './server-process.js';

/** Servers that may die one after the other without having served a single request to its end. */
const FRUITLESS_MAX = 5;
/** From the second fruitless one on, the next is started this much later, times their number. */
const RETRY_MS = 100;
/** A server in reserve is started this long after the present one began to serve. */
const RESERVE_DELAY_MS = 150;

/**
 * Keeps a mount alive: holds the device, the image's lock and the shared memory segment, and has a server do all the rest. When a server
 * dies, another takes its place; programs notice a pause. It does no I/O, and never touches a file of the mount.
 *
 * A second server waits in reserve with its code loaded: starting node takes longer than everything else that a takeover needs.
 */
export class Supervisor {
  private reserve: ServerProcess | null = null;
  private reserveTimer: NodeJS.Timeout | null = null;
  private device: number;
  private stopping = false;
  /** The mount is detached: a server that takes over ends, too, when it has answered what is queued. */
  private stopOrdered = false;
  private over = false;

  private constructor(
    private readonly plan: MountPlan,
    private readonly log: LogFunction,
    private readonly command: ServerCommand,
    private readonly fds: { readonly image: number; readonly segment: number },
    private readonly shared: SharedState,
    device: number,
    private readonly mount: OwnMount,
    private server: ServerProcess,
    /** One line for people: what is mounted where. */
    readonly description: string,
  ) {
    this.device = device;
  }

  /**
   * Locks the image, has a first server open the volume, and mounts it. Resolves when it is served. Throws FsError with one line for the
   * user; nothing is left then. `command`: what to start as a server.
   */
  static async start(plan: MountPlan, log: LogFunction, command: ServerCommand = SERVER_COMMAND): Promise<Supervisor> {
    const { pidfile, readOnly } = plan.options;
    const image = await whenNotMounted(plan, (wait) => lockImage(plan.image, { readOnly, ...wait }));
    const fds = { image, segment: createSegment() };
    const server = new ServerProcess(command, plan, fds, log);
    let device = -1;
    let mount: OwnMount | null = null;
    try {
      server.open();
      const description = await server.opened;
      if (description === null) throw failureOf(await server.ended);
      // Whoever waits for the mount finds the file there.
      if (pidfile !== null) writeFileSync(pidfile, `${String(process.pid)}\n`);
      device = mountDevice(mountSettings(plan));
      mount = new OwnMount(plan.directory, log);
      server.serve(device);
      if (!(await server.serving)) throw failureOf(await server.ended);
      const supervisor = new Supervisor(plan, log, command, fds, new SharedState(mapControl(fds.segment)), device, mount, server, description);
      supervisor.startReserveSoon();
      return supervisor;
    } catch (error) {
      server.kill();
      await server.ended;
      if (device !== -1) closeSync(device);
      await mount?.detach();
      if (pidfile !== null) rmSync(pidfile, { force: true });
      closeSync(fds.segment);
      closeSync(fds.image);
      throw error;
    }
  }

  /** Resolves with the exit code when the filesystem is unmounted and the volume closed, or when it can't be kept alive. */
  async run(): Promise<number> {
    let fruitless = 0;
    let served = this.shared.served;
    for (;;) {
      const end = await this.server.ended;
      if (this.over) return Exit.crashed;
      if (end.code === Exit.done || end.code === Exit.unclean) return await this.finish(end.code === Exit.done ? Exit.done : Exit.notMounted);
      // As after a crash: the mount stays, dead, until somebody unmounts it.
      if (end.code === Exit.shutDown) return await this.finish(Exit.done, true);
      const what = `the server of ${this.plan.image} (process ${String(this.server.pid)}) died: ${describeEnd(end)}`;
      fruitless = this.shared.served > served ? 1 : fruitless + 1;
      served = this.shared.served;
      const reason = this.reasonToEnd(fruitless);
      if (reason !== null) {
        this.log('error', `${what}; ${reason}: the mount on ${this.plan.directory} ends, nothing acknowledged is lost`);
        return await this.abandon();
      }
      this.log('warning', `${what}; another one takes over`);
      if (fruitless > 1) await sleep(RETRY_MS * fruitless);
      this.replaceServer();
    }
  }

  /** Unmounts, also while in use: whoever still uses the mount gets a short grace and then ENOTCONN. `run` resolves afterwards. */
  async shutDown(reason: string): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    this.log('info', `${reason}: unmounting ${this.plan.directory}`);
    if (this.mount.isOnTop && (await this.mount.unmount())) return;
    this.stopOrdered = true;
    if (!this.over) this.server.stop();
  }

  /** Gives up: programs get ENOTCONN, and the mount goes away. Returns the exit code. */
  async abandon(): Promise<number> {
    this.over = true;
    this.server.kill();
    return await this.finish(Exit.crashed);
  }

  /** Why no other server is started, or null. */
  private reasonToEnd(fruitless: number): string | null {
    const { protocol } = this.shared;
    if (protocol !== null && (protocol.flags2 & InitFlag2.HAS_RESEND) === 0) {
      return 'the kernel can not send its requests again to another one (that needs Linux 6.9)';
    }
    return fruitless >= FRUITLESS_MAX ? `as did the ${String(fruitless - 1)} before it, none of which served a request` : null;
  }

  private replaceServer(): void {
    const died = performance.now();
    const server = this.reserve ?? this.newServer();
    this.reserve = null;
    this.server = server;
    server.serve(this.device);
    void server.serving.then((serves) => {
      if (!serves) return;
      this.log('info', `${this.plan.image} is served again, after ${(performance.now() - died).toFixed(0)} ms, by process ${String(server.pid)}`);
      if (this.stopOrdered) server.stop();
      else this.startReserveSoon();
    });
  }

  private newServer(): ServerProcess {
    return new ServerProcess(this.command, this.plan, this.fds, this.log);
  }

  private startReserveSoon(): void {
    if (this.reserveTimer !== null) clearTimeout(this.reserveTimer);
    this.reserveTimer = setTimeout(() => {
      if (this.over || this.reserve !== null) return;
      const reserve = this.newServer();
      this.reserve = reserve;
      void reserve.ended.then(() => {
        if (this.reserve === reserve) this.reserve = null;
      });
    }, RESERVE_DELAY_MS);
  }

  /** Gives everything back; the image's lock when the servers have ended. */
  private async finish(code: number, leaveMount = false): Promise<number> {
    this.over = true;
    if (this.reserveTimer !== null) clearTimeout(this.reserveTimer);
    if (this.device !== -1) closeSync(this.device);
    this.device = -1;
    // Still there if its connection was aborted.
    if (!leaveMount) await this.mount.detach();
    const { reserve } = this;
    reserve?.kill();
    await Promise.all([this.server.ended, reserve?.ended]);
    const { pidfile } = this.plan.options;
    if (pidfile !== null) rmSync(pidfile, { force: true });
    closeSync(this.fds.segment);
    closeSync(this.fds.image);
    return code;
  }
}

function failureOf(end: ServerEnd): FsError {
  if (end.failure !== null) return new FsError(end.failure.errno, end.failure.message);
  return new FsError('EIO', `the server ended before it served (${describeEnd(end)})`);
}
