import { messageOf } from '../base/errno.js';
import { type FilePlacement, readPlacement, setDax } from '../daemon/placement.js';

const EXIT_FAILED = 32;

/** `nvmfs stat`: where the data of each file lies. Returns the exit code. */
export function runStat(paths: readonly string[], json: boolean): number {
  return forEach(paths, (path) => {
    const placement = readPlacement(path);
    process.stdout.write(json ? `${JSON.stringify({ path, ...placement })}\n` : describe(path, placement));
  });
}

/** `nvmfs dax`: sets, clears or shows the DAX flag. */
export function runDax(action: 'on' | 'off' | 'show', paths: readonly string[]): number {
  return forEach(paths, (path) => {
    if (action !== 'show') setDax(path, action === 'on');
    else process.stdout.write(`${readPlacement(path).flag ? 'on' : 'off'} ${path}\n`);
  });
}

function describe(path: string, { inode, size, kind, flag, dax, data, served, reason }: FilePlacement): string {
  const lines = [`${path}: inode ${String(inode)}, ${kind}, ${String(size)} bytes`];
  if (kind === 'directory') {
    lines.push(`  DAX flag: ${flag ? 'set, what is made in it gets it' : 'not set'}`);
  } else {
    lines.push(`  DAX flag: ${flag ? 'set' : 'not set'}; it is ${dax ? 'a' : 'no'} DAX file`);
    lines.push(`  data: ${data === 'region' ? 'a file of the region directory' : 'in the image'}`);
    lines.push(`  served: ${SERVED[served]}${reason === '' ? '' : ` (${reason})`}`);
  }
  return `${lines.join('\n')}\n`;
}

const SERVED: Readonly<Record<FilePlacement['served'], string>> = {
  'page cache': 'through the page cache of the kernel',
  direct: 'by the daemon, without the page cache',
  passthrough: 'by the kernel, from the file itself',
};

function forEach(paths: readonly string[], act: (path: string) => void): number {
  let exitCode = 0;
  for (const path of paths) {
    try {
      act(path);
    } catch (error) {
      process.stderr.write(`nvmfs: ${messageOf(error)}\n`);
      exitCode = EXIT_FAILED;
    }
  }
  return exitCode;
}
