import { parseArgs } from 'node:util';
import { FsError } from '../base/errno.js';

/** What is done about problems: nothing; what is safe; everything; what somebody at the terminal says. */
export type FsckMode = 'check' | 'preen' | 'yes' | 'ask';

/** What the command line of fsck.nvmfs asks for. */
export interface FsckArguments {
  readonly path: string;
  readonly mode: FsckMode;
  /** -f: check everything, even where a quick look would do. */
  readonly force: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
  /** The region directory; null: where a mount looks for it. */
  readonly regions: string | null;
  /** -C: file descriptor for progress, 0: a line for people on the terminal; null: not asked for. */
  readonly progress: number | null;
}

export const USAGE = 'usage: fsck.nvmfs [-n|-a|-p|-y] [-f] [-v] [-C fd] [--regions directory] [--json] FILE|BLOCK-DEVICE';

export const HELP = `${USAGE}

Checks an NVMFS volume that is not mounted, and repairs it. Without -n, -a, -p or -y it asks about every problem, on a terminal.

  -n, --no-changes   change nothing: only check
  -a, -p             repair what is safe without questions, as at start-up; without -f a volume that looks
                     sound at first sight is not looked at further
  -y, --yes          repair everything without questions
  -f, --force        check everything (with -a and -p; the other modes always do)
  -v, --verbose      also print what was counted
  -C FD              progress: 0 a line on the terminal, else "pass done total device" lines to that descriptor
      --regions DIR  the region directory, if it is not where a mount looks for it
      --json         print the report as JSON (see fsck.nvmfs(8))
  -V, --version      print the version
  -h, --help         print this

Exit code: 0 no errors, 1 errors were corrected, 4 errors are left, 8 the check could not be done, 16 wrong usage,
32 cancelled, 128 the native addon can't be loaded.
`;

const OPTIONS = {
  'no-changes': { type: 'boolean', short: 'n', default: false },
  force: { type: 'boolean', short: 'f', default: false },
  automatic: { type: 'boolean', short: 'a', default: false },
  preen: { type: 'boolean', short: 'p', default: false },
  yes: { type: 'boolean', short: 'y', default: false },
  verbose: { type: 'boolean', short: 'v', default: false },
  progress: { type: 'string', short: 'C' },
  regions: { type: 'string' },
  json: { type: 'boolean', default: false },
  version: { type: 'boolean', short: 'V', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Reads the command line. Throws FsError EINVAL, whose message is one line, for anything that is wrong with it. */
export function parseArguments(args: readonly string[]): FsckArguments | 'help' | 'version' {
  const { values, positionals } = split(args);
  if (values.help) return 'help';
  if (values.version) return 'version';
  const [path, ...rest] = positionals;
  if (path === undefined || path === '') throw new FsError('EINVAL', `no file or device given; ${USAGE}`);
  if (rest.length > 0) throw new FsError('EINVAL', `one file or device expected, but also given: ${rest.join(' ')}`);
  return {
    path,
    mode: modeOf(values['no-changes'], values.automatic || values.preen, values.yes),
    force: values.force,
    verbose: values.verbose,
    json: values.json,
    regions: values.regions === undefined ? null : directoryOf(values.regions),
    progress: values.progress === undefined ? null : descriptorOf(values.progress),
  };
}

function modeOf(check: boolean, preen: boolean, yes: boolean): FsckMode {
  if ([check, preen, yes].filter(Boolean).length > 1) throw new FsError('EINVAL', 'only one of -n, -a or -p, and -y can be given');
  if (check) return 'check';
  if (preen) return 'preen';
  return yes ? 'yes' : 'ask';
}

function split(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new FsError('EINVAL', `${error.message.split('. ')[0] ?? ''}; ${USAGE}`);
  }
}

function directoryOf(path: string): string {
  if (path === '') throw new FsError('EINVAL', '--regions needs a directory');
  return path;
}

/** A negative number (fsck(8) passes it on a terminal that is shared) means: no line for now. */
function descriptorOf(text: string): number | null {
  if (!/^-?[0-9]{1,6}$/.test(text)) throw new FsError('EINVAL', `bad file descriptor '${text}' after -C`);
  const descriptor = Number(text);
  return descriptor < 0 ? null : descriptor;
}
