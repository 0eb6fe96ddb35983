// Starts a compiled command: launch.cjs NAME MODULE [argument…]. The scripts beside this file call it; they are no node scripts
// themselves because node takes a name that ends in .nvmfs for an unknown kind of module as soon as NODE_OPTIONS has an --import.
'use strict';
const { statSync } = require('node:fs');
const { join } = require('node:path');

const [, , name, modulePath, ...args] = process.argv;
const path = join(__dirname, '../dist', modulePath);
const bundle = join(__dirname, '../dist/bundle', modulePath.replace(/\.js$/, '.cjs'));
const modified = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -1;

/** The module as one file, which starts faster, unless it was compiled anew without `make build`. */
const load = () => (modified(bundle) >= modified(path) ? Promise.resolve(require(bundle)) : import(path));

if (modified(path) >= 0) {
  load().then(async ({ main }) => {
    process.exitCode = await main(args);
  });
} else {
  process.stderr.write(`${name}: not built yet; run: make build\n`);
  process.exitCode = 1;
}
