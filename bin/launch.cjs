// Starts a compiled command: launch.cjs NAME MODULE [argument…]. The scripts beside this file call it; they are no node scripts
// themselves because node takes a name that ends in .nvmfs for an unknown kind of module as soon as NODE_OPTIONS has an --import.
'use strict';
const { isUtf8 } = require('node:buffer');
const { readFileSync, statSync } = require('node:fs');
const { join } = require('node:path');

const [, , name, modulePath, ...args] = process.argv;
const path = join(__dirname, '../dist', modulePath);
const bundle = join(__dirname, '../dist/bundle', modulePath.replace(/\.js$/, '.cjs'));
const modified = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -1;

/** The module as one file, which starts faster, unless it was compiled anew without `make build`. */
const load = () => (modified(bundle) >= modified(path) ? Promise.resolve(require(bundle)) : import(path));

/** Node has put U+FFFD for bytes that are no UTF-8: what was meant can't be known, and another file would be taken for it. */
const unreadable = args.find((arg) => arg.includes('\ufffd'));

if (unreadable !== undefined && !isUtf8(readFileSync('/proc/self/cmdline'))) {
  process.stderr.write(`${name}: '${unreadable}' has bytes that are not UTF-8; paths and other arguments must be UTF-8\n`);
  process.exitCode = name === 'fsck.nvmfs' ? 16 : 1;
} else if (modified(path) >= 0) {
  load().then(async ({ main }) => {
    process.exitCode = await main(args);
  });
} else {
  process.stderr.write(`${name}: not built yet; run: make build\n`);
  process.exitCode = 1;
}
