import { parseArgs } from 'node:util';
import { LABEL_SIZE } from '../src/format/layout.js';
import { randomBytes } from '../src/base/entropy.js';
import { FsError } from '../src/base/errno.js';
import { parseSize } from '../src/base/sizes.js';

/** What the command line asks for, checked as far as that is possible without looking at the target. */
export interface MkfsArguments {
  readonly path: string;
  readonly force: boolean;
  /** At most 64 bytes of UTF-8. */
  readonly label: string;
  readonly uuid: Uint8Array;
  /** Bytes, a multiple of 4096; null: as large as the target is. */
  readonly size: number | null;
  /** The region directory to record, as given; null: none. */
  readonly regions: string | null;
  readonly dryRun: boolean;
  readonly quiet: boolean;
  readonly json: boolean;
}

export const USAGE = `usage: mkfs.nvmfs [-f] [-L label] [-U uuid] [-s size] [--regions directory] [-N] [-q] [--json] FILE|BLOCK-DEVICE`;

export const HELP = `${USAGE}

Makes an NVMFS volume inside a file (created when missing, with -s) or on a device.

  -f, --force        overwrite an existing volume, filesystem or partition table, shrink a file that holds data
  -L, --label LABEL  name of the volume, at most ${String(LABEL_SIZE)} bytes of UTF-8
  -U, --uuid UUID    identity of the volume (default: random)
  -s, --size SIZE    size in bytes, or with k, m, g, t, p (powers of 1024): the file is created with, or grown or shrunk to it
      --regions DIR  directory for the data of DAX files, made when it is missing (default: IMAGE.regions, when it is needed)
  -N, --dry-run      check everything and print what would be made, write nothing
  -q, --quiet        print nothing but errors
      --json         print the summary as JSON (see mkfs.nvmfs(8))
  -V, --version      print the version
  -h, --help         print this
`;

const OPTIONS = {
  force: { type: 'boolean', short: 'f', default: false },
  label: { type: 'string', short: 'L', default: '' },
  uuid: { type: 'string', short: 'U', default: 'random' },
  size: { type: 'string', short: 's' },
  regions: { type: 'string' },
  'dry-run': { type: 'boolean', short: 'N', default: false },
  quiet: { type: 'boolean', short: 'q', default: false },
  json: { type: 'boolean', default: false },
  version: { type: 'boolean', short: 'V', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Reads the command line. Throws FsError EINVAL, whose message is one line, for anything that is wrong with it. */
export function parseArguments(args: readonly string[]): MkfsArguments | 'help' | 'version' {
  const { values, positionals } = split(args);
  if (values.help) return 'help';
  if (values.version) return 'version';
  const [path, ...rest] = positionals;
  if (path === undefined || path === '') throw new FsError('EINVAL', `no file or device given; ${USAGE}`);
  if (rest.length > 0) throw new FsError('EINVAL', `one file or device expected, but also given: ${rest.join(' ')}`);
  return {
    path,
    force: values.force,
    label: checkLabel(values.label),
    uuid: parseUuid(values.uuid),
    size: values.size === undefined ? null : checkSize(values.size),
    regions: values.regions ?? null,
    dryRun: values['dry-run'],
    quiet: values.quiet,
    json: values.json,
  };
}

function split(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Node explains at length and over several lines; its first sentence says what is wrong.
    const [sentence = error.message] = error.message.split(/\n|\. /);
    throw new FsError('EINVAL', `${sentence.replace(/\.$/, '')}; see mkfs.nvmfs --help`);
  }
}

function checkLabel(label: string): string {
  const bytes = Buffer.byteLength(label, 'utf8');
  if (bytes > LABEL_SIZE) {
    throw new FsError('EINVAL', `bad label: ${String(bytes)} bytes of UTF-8, at most ${String(LABEL_SIZE)} fit`);
  }
  // A label is printed by every tool: it must not be able to move the cursor or forge a line.
  if (/[\u0000-\u001f\u007f-\u009f\ufffd]/.test(label)) {
    throw new FsError('EINVAL', 'bad label: control characters or bytes that are not UTF-8');
  }
  return label;
}

function checkSize(text: string): number {
  const size = parseSize(text);
  if (size % 4096 !== 0) throw new FsError('EINVAL', `bad size '${text}': not a multiple of 4096 bytes`);
  return size;
}

/** Sixteen bytes of a UUID in its usual form, of a random one (version 4) for `random`. Throws FsError EINVAL. */
function parseUuid(text: string): Uint8Array {
  if (text === 'random') return randomUuid();
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)) {
    throw new FsError('EINVAL', `bad UUID '${text}': expected 8-4-4-4-12 hexadecimal digits, or random`);
  }
  return Buffer.from(text.replaceAll('-', ''), 'hex');
}

function randomUuid(): Uint8Array {
  const uuid = randomBytes(16);
  // RFC 4122: version 4, variant 10.
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x40;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}

/** The usual text of a UUID. */
export function formatUuid(uuid: Uint8Array): string {
  const hex = Buffer.from(uuid).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
