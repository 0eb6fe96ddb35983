import yargs, { type Argv } from 'yargs';
import { packageVersion } from '../base/version.js';
import { splitOptions } from './mount-options.js';

/** Everything that `nvmfs` can be told, with help and with what is wrong about the rest; `args` and the exit code as for `nvmfs.ts`. */
export async function runCommand(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const finish = (code: number): void => {
    exitCode = code;
  };
  const parser = describe(args, finish);
  try {
    await parser.parseAsync();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`nvmfs: ${error.message}; see nvmfs --help\n`);
    return 1;
  }
  return exitCode;
}

class UsageError extends Error {
  override readonly name = 'UsageError';
}

function describe(args: readonly string[], finish: (code: number) => void): Argv {
  const parser = yargs([...args]);
  return parser
    .scriptName('nvmfs')
    .usage('usage: $0 COMMAND [options]\n\nA filesystem for persistent memory in user space.')
    .parserConfiguration({ 'parse-numbers': false, 'parse-positional-numbers': false, 'boolean-negation': false })
    .command('mount <image> <directory>', 'mount a volume; goes to the background when it serves', mountOptions, async (given) => {
      finish(await mount(given));
    })
    .command('umount <directory>', 'unmount a volume and wait until its daemon has finished', umountOptions, async (given) => {
      const { runUmount } = await import('../daemon/umount.js');
      finish(await runUmount(given.directory, { lazy: given.lazy }));
    })
    .command('stat <paths..>', 'say where the data of files of a mounted volume lies, and how they are served', statOptions, async (given) => {
      const { runStat } = await import('./placement.js');
      finish(runStat(given.paths, given.json));
    })
    .command('dax <action> <paths..>', 'set, clear or show the DAX flag of files and directories of a mounted volume', daxOptions, async (given) => {
      const { runDax } = await import('./placement.js');
      finish(runDax(given.action, given.paths));
    })
    .command('version', 'print the version', {}, () => {
      process.stdout.write(`nvmfs ${packageVersion()}\n`);
    })
    .command('help', 'print this; help on one command: nvmfs COMMAND --help', {}, async () => {
      process.stdout.write(`${await parser.getHelp()}\n`);
    })
    .demandCommand(1, 1, 'no command given', 'one command expected')
    .strict()
    .help('help')
    .alias('help', 'h')
    .version(`nvmfs ${packageVersion()}`)
    .alias('version', 'V')
    .wrap(100)
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      // Only what yargs itself has to say is about usage; what a command throws goes on as it is.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw new UsageError(message ?? error?.message ?? 'wrong usage');
    });
}

function mountOptions(command: Argv) {
  return command
    .positional('image', { type: 'string', demandOption: true, describe: 'file or device that holds the volume' })
    .positional('directory', { type: 'string', demandOption: true, describe: 'where to mount it' })
    .option('options', { alias: 'o', type: 'string', array: true, nargs: 1, default: [] as string[], describe: 'mount options, separated by commas' })
    .option('foreground', { alias: 'f', type: 'boolean', default: false, describe: 'stay in the foreground, log to stderr' })
    .option('verbose', { alias: 'v', type: 'boolean', default: false, describe: 'say more' });
}

interface MountArguments {
  readonly image: string;
  readonly directory: string;
  readonly options: readonly string[];
  readonly foreground: boolean;
  readonly verbose: boolean;
}

async function mount(given: MountArguments): Promise<number> {
  const { runMount } = await import('../daemon/mount.js');
  return runMount({
    image: given.image,
    directory: given.directory,
    options: given.options.flatMap(splitOptions),
    foreground: given.foreground,
    verbose: given.verbose,
  });
}

function statOptions(command: Argv) {
  return command
    .positional('paths', { type: 'string', array: true, demandOption: true, describe: 'files or directories' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object per line' });
}

function daxOptions(command: Argv) {
  return command
    .positional('action', { choices: ['on', 'off', 'show'] as const, demandOption: true, describe: 'what to do' })
    .positional('paths', { type: 'string', array: true, demandOption: true, describe: 'files or directories' });
}

function umountOptions(command: Argv) {
  return command
    .positional('directory', { type: 'string', demandOption: true, describe: 'where the volume is mounted' })
    .option('lazy', { alias: 'l', type: 'boolean', default: false, describe: 'detach now, finish when it is no longer in use' });
}
