import { splitOptions } from './mount-options.js';

/**
 * The helper that mount(8) of util-linux calls for `-t nvmfs`:
 *
 *     mount.nvmfs IMAGE DIRECTORY [-sfnv] [-N namespace] [-o options] [-t type]
 *
 * Exit codes are those of mount(8): 0 mounted, 1 wrong usage, 32 the mount failed.
 */
const USAGE = 'usage: mount.nvmfs IMAGE DIRECTORY [-sfnv] [-o options] [-t nvmfs]';
const EXIT_USAGE = 1;

interface HelperArguments {
  image: string;
  directory: string;
  options: string[];
  /** Tolerate options that this program does not know. */
  sloppy: boolean;
  /** Check everything, mount nothing. */
  fake: boolean;
  verbose: boolean;
}

/** Runs the helper; `args` are the words after the command's name. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  if (args.includes('-h') || args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (args.includes('-V') || args.includes('--version')) {
    const { packageVersion } = await import('../base/version.js');
    process.stdout.write(`mount.nvmfs ${packageVersion()}\n`);
    return 0;
  }
  const given = parseArguments(args);
  if (typeof given === 'string') {
    process.stderr.write(`mount.nvmfs: ${given}\n`);
    return EXIT_USAGE;
  }
  const { runMount } = await import('../daemon/mount.js');
  return runMount({ ...given, foreground: false });
}

/** What the arguments mean, or what is wrong with them. */
function parseArguments(args: readonly string[]): HelperArguments | string {
  const given: HelperArguments = { image: '', directory: '', options: [], sloppy: false, fake: false, verbose: false };
  const places: string[] = [];
  const words = [...args];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (!word.startsWith('-') || word === '-') {
      places.push(word);
      continue;
    }
    const problem = takeFlags(word, words, given);
    if (problem !== null) return problem;
  }
  const [image, directory, ...rest] = places;
  if (image === undefined || directory === undefined || rest.length > 0) return `an image and a directory expected; ${USAGE}`;
  return { ...given, image, directory };
}

/** Reads one word of flags such as `-nv` or `-ofoo`; what a flag needs may be in the words that follow. */
function takeFlags(word: string, following: string[], given: HelperArguments): string | null {
  for (let i = 1; i < word.length; i++) {
    const flag = word.charAt(i);
    if ('oNt'.includes(flag)) {
      const value = i + 1 < word.length ? word.slice(i + 1) : following.shift();
      return value === undefined ? `-${flag} needs a value; ${USAGE}` : takeValue(flag, value, given);
    }
    if (flag === 's') given.sloppy = true;
    else if (flag === 'f') given.fake = true;
    else if (flag === 'v') given.verbose = true;
    else if (flag !== 'n') return `unknown option -${flag}; ${USAGE}`;
    // -n, "don't write /etc/mtab": there is none to write.
  }
  return null;
}

function takeValue(flag: string, value: string, given: HelperArguments): string | null {
  if (flag === 'N') return 'another mount namespace (-N) is not supported; use nsenter(1)';
  if (flag === 't') return /^(fuse\.)?nvmfs$/.test(value) ? null : `type ${value} is not nvmfs`;
  given.options.push(...splitOptions(value));
  return null;
}
