import { FsError } from '../base/errno.js';
import { parseSize } from '../base/sizes.js';
import { KIB, MIB, TIB } from '../base/units.js';
import type { DaxPolicy } from '../fs/region-files.js';
import type { DurabilityDomain } from '../pmem/pmem.js';

/** What the words after `-o` say. */
export interface ParsedOptions {
  readOnly: boolean;
  allowOther: boolean;
  /** Flags that the kernel handles alone, in the order given: nosuid, noexec, noatime … */
  flags: string[];
  /** Bytes, 0 for the daemon's own limit. */
  maxRead: number;
  /** Shown as the device instead of the image's path. */
  fsname: string | null;
  subtype: string;
  /** null: detected. */
  domain: DurabilityDomain | null;
  transport: 'devfuse' | 'fuse-native';
  pidfile: string | null;
  directIo: boolean;
  /** The kernel checks access with ACLs. */
  acls: boolean;
  /** Microseconds that the daemon looks out for the next request before it sleeps; adapts itself, 0 never. */
  spinMicroseconds: number;
  /** Limit of the metadata cache in bytes; null for the default. */
  cacheBytes: number | null;
  debug: boolean;
  /** Change the flags of a mount that is there. */
  remount: boolean;
  /** Read-only, without replaying the journal. */
  noRecovery: boolean;
  /** Which files are DAX files. */
  dax: DaxPolicy;
  /** The region directory; null: beside the image. */
  regions: string | null;
  /** What damage that an operation meets leads to. */
  errors: 'continue' | 'remount-ro';
  /** For tests: programs are told that the medium is persistent memory, whatever it is. */
  declaredPmem: boolean;
}

/** A wake-up takes about this long: spinning longer gains nothing. */
const SPIN_DEFAULT = 20;
const SPIN_MAX = 1000;

type Flag = (options: ParsedOptions) => void;
type Setting = (options: ParsedOptions, value: string) => void;

export const KERNEL_FLAGS: readonly string[] = [
  'suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec', 'sync', 'async', 'dirsync', 'atime', 'noatime', 'diratime', 'nodiratime',
  'relatime', 'norelatime', 'strictatime', 'nostrictatime', 'lazytime', 'nolazytime',
];
/** Options of fstab(5) for mount(8), systemd and people. `default_permissions` and `user_xattr` are always on. */
const IGNORED = new Set([
  '_netdev', 'nofail', 'fail', 'auto', 'noauto', 'user', 'nouser', 'users', 'owner', 'group', 'defaults', 'comment', 'loop',
  'default_permissions', 'user_xattr',
]);

const flags: Readonly<Record<string, Flag>> = {
  ro: (options) => { options.readOnly = true; },
  rw: (options) => { options.readOnly = false; },
  allow_other: (options) => { options.allowOther = true; },
  noallow_other: (options) => { options.allowOther = false; },
  direct_io: (options) => { options.directIo = true; },
  acl: (options) => { options.acls = true; },
  noacl: (options) => { options.acls = false; },
  debug: (options) => { options.debug = true; },
  remount: (options) => { options.remount = true; },
  norecovery: (options) => { options.noRecovery = true; },
  recovery: (options) => { options.noRecovery = false; },
  dax: (options) => { options.dax = 'always'; },
};

const settings: Readonly<Record<string, Setting>> = {
  max_read: (options, value) => { options.maxRead = sizeBetween('max_read', value, 4 * KIB, MIB); },
  cache_size: (options, value) => { options.cacheBytes = sizeBetween('cache_size', value, MIB, TIB); },
  fsname: (options, value) => { options.fsname = value; },
  subtype: (options, value) => {
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(value)) fail(`subtype=${value}: letters, digits and ._- expected`);
    options.subtype = value;
  },
  domain: (options, value) => { options.domain = oneOf<DurabilityDomain>('domain', value, ['sync-dax', 'memory', 'file']); },
  transport: (options, value) => { options.transport = oneOf('transport', value, ['devfuse', 'fuse-native']); },
  dax: (options, value) => { options.dax = oneOf<DaxPolicy>('dax', value, ['inode', 'always', 'never']); },
  regions: (options, value) => { options.regions = value; },
  errors: (options, value) => { options.errors = oneOf('errors', value, ['continue', 'remount-ro']); },
  pmem: (options, value) => { options.declaredPmem = oneOf('pmem', value, ['detect', 'declared']) === 'declared'; },
  pidfile: (options, value) => { options.pidfile = value; },
  spin: (options, value) => {
    if (!/^\d{1,4}$/.test(value) || Number(value) > SPIN_MAX) fail(`spin=${value}: microseconds from 0 to ${String(SPIN_MAX)} expected`);
    options.spinMicroseconds = Number(value);
  },
};

/**
 * Reads mount options, one word each. `sloppy` passes over those that nobody knows, as mount(8) -s wants it. Throws FsError
 * EINVAL that names the option.
 */
export function parseOptions(words: readonly string[], sloppy: boolean): ParsedOptions {
  const options: ParsedOptions = {
    readOnly: false,
    // A volume is for everybody, as with any other filesystem; an ordinary user is asked to say so (fuse.conf).
    allowOther: process.geteuid?.() === 0,
    flags: [],
    maxRead: 0,
    fsname: null,
    subtype: 'nvmfs',
    domain: null,
    transport: 'devfuse',
    pidfile: null,
    directIo: false,
    acls: true,
    spinMicroseconds: SPIN_DEFAULT,
    cacheBytes: null,
    debug: false,
    remount: false,
    noRecovery: false,
    dax: 'inode',
    regions: null,
    errors: 'continue',
    declaredPmem: false,
  };
  // mount(8) hands what /proc/mounts shows over to a remount, the kernel's own options included.
  const tolerant = sloppy || words.includes('remount');
  for (const word of words) takeOption(options, word, tolerant);
  if (options.noRecovery && !options.readOnly) fail('norecovery shows a volume as a crash left it: it needs ro');
  return options;
}

function takeOption(options: ParsedOptions, word: string, sloppy: boolean): void {
  const equals = word.indexOf('=');
  const name = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? null : unquoted(word.slice(equals + 1));
  const flag = own(flags, name);
  const setting = own(settings, name);
  if (IGNORED.has(name) || /^x-/i.test(name)) return;
  if (KERNEL_FLAGS.includes(name) && value === null) options.flags.push(name);
  else if (flag !== undefined && value === null) flag(options);
  else if (setting !== undefined && value !== null && value !== '') setting(options, value);
  else if (setting !== undefined) fail(`option ${name} needs a value: ${name}=…`);
  else if (flag !== undefined || KERNEL_FLAGS.includes(name)) fail(`option ${name} takes no value`);
  else if (!sloppy) fail(`unknown mount option '${word}'`);
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function unquoted(value: string): string {
  return /^".*"$/.test(value) ? value.slice(1, -1) : value;
}

function sizeBetween(name: string, value: string, least: number, most: number): number {
  const bytes = parseSize(value);
  if (bytes < least || bytes > most) fail(`${name}=${value}: between ${String(least)} and ${String(most)} bytes expected`);
  return bytes;
}

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === value);
  return choice ?? fail(`${name}=${value}: ${choices.join(', ')} expected`);
}

function fail(message: string): never {
  throw new FsError('EINVAL', message);
}
