import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { addon, isAddonError } from '../../native/addon.js';
import type { LogFunction, LogLevel } from '../fuse/log.js';
import type { MountPlan } from './plan.js';

/** Descriptors that a server is started with. */
export const ServerFd = {
  /** It writes a ServerReport per line. */
  reports: 3,
  /** It receives orders (addon.receiveOrder). */
  orders: 4,
  /** The image, locked. */
  image: 5,
  /** The shared memory segment of the mount. */
  segment: 6,
} as const;

/** What the supervisor tells a server, one byte each. */
export const Order = {
  /** Open the volume of a mount that is to be made. */
  open: 0x6f,
  /** Serve; the device comes along. Without `open` before it, take over from a server that died. */
  serve: 0x73,
  /** Answer what is queued, then close the volume and end. */
  stop: 0x71,
} as const;

/** What a server tells the supervisor. */
export type ServerReport =
  | { readonly log: readonly [LogLevel, string] }
  /** The volume is open; one line for people. */
  | { readonly opened: string }
  | { readonly serving: true }
  /** It ends before it has served. */
  | { readonly failed: { readonly errno: number; readonly message: string } };

/** How a process of a server is started; the plan and the supervisor's process id follow as arguments. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** Compiled, this file is dist/src/daemon/server-process.js. */
const launch = fileURLToPath(new URL('../../../bin/launch.cjs', import.meta.url));
export const SERVER_COMMAND: ServerCommand = { command: process.execPath, args: [launch, 'nvmfs', 'src/daemon/server.js'] };

export interface ServerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** What it said about it. */
  readonly failure: { readonly errno: number; readonly message: string } | null;
}

/** The supervisor's side of one server: a process that waits for orders. */
export class ServerProcess {
  /** Resolves with its line when it has opened the volume, with null when it ended before. */
  readonly opened: Promise<string | null>;
  /** Resolves with true when it serves, with false when it ended before. */
  readonly serving: Promise<boolean>;
  readonly ended: Promise<ServerEnd>;
  private readonly child: ChildProcess;
  private readonly orders: number;
  private over = false;

  constructor({ command, args }: ServerCommand, plan: MountPlan, fds: { readonly image: number; readonly segment: number }, log: LogFunction) {
    const [ours, theirs] = addon.orderSockets();
    this.orders = ours;
    // A session of its own: what the terminal sends to the supervisor's process group is the supervisor's business.
    this.child = spawn(command, [...args, JSON.stringify(plan), String(process.pid)], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', theirs, fds.image, fds.segment],
    });
    closeSync(theirs);
    let failure: ServerEnd['failure'] = null;
    let sayOpened: (line: string | null) => void;
    let sayServing: (serves: boolean) => void;
    this.opened = new Promise((resolve) => (sayOpened = resolve));
    this.serving = new Promise((resolve) => (sayServing = resolve));
    onLines(this.child.stdio[ServerFd.reports] as Readable, (line) => {
      const report = JSON.parse(line) as ServerReport;
      if ('log' in report) log(...report.log);
      else if ('opened' in report) sayOpened(report.opened);
      else if ('serving' in report) sayServing(true);
      else failure = report.failed;
    });
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        if (this.over) return;
        this.over = true;
        closeSync(this.orders);
        sayOpened(null);
        sayServing(false);
        resolve({ code, signal, failure });
      };
      this.child.once('error', (error) => {
        failure = { errno: 0, message: `the server could not be started: ${error.message}` };
        end(null, null);
      });
      this.child.once('close', end);
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  open(): void {
    this.order(Order.open);
  }

  /** With the device of the mount. */
  serve(device: number): void {
    this.order(Order.serve, device);
  }

  stop(): void {
    this.order(Order.stop);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  /** An order to a server that has died is lost; `ended` tells. */
  private order(order: number, descriptor = -1): void {
    if (this.over) return;
    try {
      addon.sendOrder(this.orders, order, descriptor);
    } catch (error) {
      if (!isAddonError(error) || error.code !== 'EPIPE') throw error;
    }
  }
}

/** Calls back with every whole line; node:readline would take longer to load than a server to open a volume. */
function onLines(stream: Readable, callback: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(callback);
  });
}

/** For messages: how a server ended. */
export function describeEnd({ code, signal, failure }: ServerEnd): string {
  if (failure !== null) return failure.message;
  return signal ?? `exit code ${String(code)}`;
}
