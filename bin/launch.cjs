// Starts a compiled command: launch.cjs NAME MODULE [argument…]. The scripts beside this file call it; they are no node scripts
// themselves because node takes a name that ends in .nvmfs for an unknown kind of module as soon as NODE_OPTIONS has an --import.
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const [, , name, modulePath, ...args] = process.argv;
const path = join(__dirname, '../dist', modulePath);
if (existsSync(path)) {
  import(path).then(async ({ main }) => {
    process.exitCode = await main(args);
  });
} else {
  process.stderr.write(`${name}: not built yet; run: make build\n`);
  process.exitCode = 1;
}
