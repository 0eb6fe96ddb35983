/** What is measured: tmpfs itself, the null server, NVMFS, and an optional foreign FUSE server. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { endServer, run, runToClean, startServer, unmount, untilMounted } from './process.js';

export const TARGET_NAMES = ['tmpfs', 'null', 'null-memory', 'nvmfs', 'peer'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

export interface TargetOptions {
  /** The package's root, with `bin` and `build`. */
  readonly root: string;
  /** Scratch directory for mount points and sources. */
  readonly scratch: string;
  /** Directory the image is made in. */
  readonly medium: string;
  readonly imageSize: string;
  readonly serverCore: number;
  /** Further words for `nvmfs mount -o`. */
  readonly mountOptions: string;
  /** Further words for the null server. */
  readonly nullOptions: readonly string[];
  /** Shell command of the foreign server with {source} and {mount}, or null. */
  readonly peer: string | null;
}

export interface Target {
  readonly name: TargetName;
  /** Where the client works. */
  readonly directory: string;
  /** Whether what was written can be read again. */
  readonly keepsData: boolean;
  /** Must be called also when `start` failed. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const MOUNT_WAIT_MS = 10_000;
const NULL_MEMORY_KIB = 256 * 1024; // as large as the client's file

function pinned(options: TargetOptions, command: readonly string[]): string[] {
  return ['taskset', '-c', String(options.serverCore), ...command];
}

function tmpfs(options: TargetOptions): Target {
  const directory = join(options.medium, 'plain');
  return {
    name: 'tmpfs',
    directory,
    keepsData: true,
    start() {
      mkdirSync(directory);
      return Promise.resolve();
    },
    stop: () => Promise.resolve(), // removed with the scratch directory
  };
}

/** A server that runs in the foreground and mounts `directory`. */
function foregroundServer(name: TargetName, directory: string, keepsData: boolean, command: readonly string[]): Target {
  let child: ReturnType<typeof startServer> | undefined;
  return {
    name,
    directory,
    keepsData,
    async start() {
      mkdirSync(directory);
      child = startServer(command);
      await untilMounted(directory, child, MOUNT_WAIT_MS);
    },
    async stop() {
      await unmount(directory);
      if (child !== undefined) await endServer(child);
    },
  };
}

function nullServer(options: TargetOptions, name: 'null' | 'null-memory'): Target {
  const directory = join(options.scratch, name);
  const memory = name === 'null-memory' ? ['--memory-kib', String(NULL_MEMORY_KIB)] : [];
  const program = join(options.root, 'build/bench/null-server');
  return foregroundServer(name, directory, false, pinned(options, [program, ...memory, ...options.nullOptions, directory]));
}

/** The foreign server to compare with: `--peer`, or one of libfuse's examples if it is installed. */
function peerCommand(options: TargetOptions): string | null {
  if (options.peer !== null) return options.peer;
  if (findProgram('passthrough_hp')) return 'passthrough_hp --nopassthrough --foreground {source} {mount}';
  if (findProgram('passthrough_ll')) return 'passthrough_ll -f -o source={source},cache=always {mount}';
  return null;
}

function findProgram(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    const path = join(directory, program);
    if (!existsSync(path)) return false;
    accessSync(path, constants.X_OK);
    return true;
  });
}

function peerServer(options: TargetOptions, command: string): Target {
  const directory = join(options.scratch, 'peer');
  const source = join(options.medium, 'peer-source');
  mkdirSync(source);
  const words = command.replaceAll('{source}', source).replaceAll('{mount}', directory);
  return foregroundServer('peer', directory, true, pinned(options, ['sh', '-c', `exec ${words}`]));
}

function nvmfs(options: TargetOptions): Target {
  const directory = join(options.scratch, 'nvmfs');
  const image = join(options.medium, 'bench.image');
  const pidfile = join(options.scratch, 'nvmfs.pid');
  const words = [`pidfile=${pidfile}`, ...(options.mountOptions === '' ? [] : [options.mountOptions])].join(',');
  return {
    name: 'nvmfs',
    directory,
    keepsData: true,
    async start() {
      mkdirSync(directory);
      await run([join(options.root, 'bin/mkfs.nvmfs'), '-q', '-s', options.imageSize, image]);
      await run(pinned(options, [join(options.root, 'bin/nvmfs'), 'mount', image, directory, '-o', words]));
    },
    async stop() {
      const pid = existsSync(pidfile) ? Number(readFileSync(pidfile, 'utf8')) : 0;
      await unmount(directory);
      if (pid > 1) await endDaemon(pid, image);
    },
  };
}

/** Waits until the daemon has let go of its image; ends it if it doesn't. */
async function endDaemon(pid: number, image: string): Promise<void> {
  const holdsImage = (): boolean =>
    existsSync(`/proc/${pid}/maps`) && readFileSync(`/proc/${pid}/maps`, 'utf8').includes(image);
  for (let attempt = 0; holdsImage(); attempt++) {
    if (attempt === 50) process.kill(pid, 'SIGKILL');
    await runToClean(['sleep', '0.1']);
  }
}

/** The targets with these names, in that order; `peer` only if there is one. */
export function makeTargets(names: readonly TargetName[], options: TargetOptions): Target[] {
  return names.flatMap((name) => {
    switch (name) {
      case 'tmpfs': return [tmpfs(options)];
      case 'null':
      case 'null-memory': return [nullServer(options, name)];
      case 'nvmfs': return [nvmfs(options)];
      case 'peer': {
        const command = peerCommand(options);
        return command === null ? [] : [peerServer(options, command)];
      }
    }
  });
}
