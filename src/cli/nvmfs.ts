import { parseArgs } from 'node:util';
import { splitOptions } from './mount-options.js';

/**
 * The command `nvmfs`. `args` are the words after the command's name; returns the exit code:
 * 0 done, 1 wrong usage, otherwise what the subcommand says.
 *
 * A mount is what somebody waits for, at every boot, and yargs takes longer to load than the rest of it: so a mount that is
 * plainly right is read without.
 */
export async function main(args: readonly string[]): Promise<number> {
  const plain = plainMount(args);
  if (plain === null) {
    const { runCommand } = await import('./nvmfs-commands.js');
    return runCommand(args);
  }
  const { runMount } = await import('../daemon/mount.js');
  return runMount(plain);
}

interface PlainMount {
  readonly image: string;
  readonly directory: string;
  readonly options: readonly string[];
  readonly foreground: boolean;
  readonly verbose: boolean;
}

/** A `mount` with all that it needs and nothing that this function does not understand; null: yargs is to judge. */
export function plainMount(args: readonly string[]): PlainMount | null {
  if (args[0] !== 'mount') return null;
  try {
    const { values, positionals } = parseArgs({
      args: args.slice(1),
      options: {
        options: { type: 'string', short: 'o', multiple: true, default: [] },
        foreground: { type: 'boolean', short: 'f', default: false },
        verbose: { type: 'boolean', short: 'v', default: false },
      },
      allowPositionals: true,
    });
    const [image, directory, ...rest] = positionals;
    if (image === undefined || directory === undefined || rest.length > 0) return null;
    // -o=ro means -o ro to yargs.
    if (values.options.some((word) => word.startsWith('='))) return null;
    return { image, directory, options: values.options.flatMap(splitOptions), foreground: values.foreground, verbose: values.verbose };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return null;
  }
}
