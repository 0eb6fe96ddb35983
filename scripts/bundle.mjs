// Bundles each command with its modules into one file, dist/bundle/MODULE.cjs: node starts one file in half the time it takes
// for twenty. bin/launch.cjs takes the bundle where there is one that is not older than the module.
import { readFile, rename } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = resolve(dirname(fileURLToPath(import.meta.url)), '../dist');
const commands = ['mkfs/cli', 'src/cli/nvmfs', 'src/cli/fsck', 'src/cli/mount-helper', 'src/daemon/main', 'src/daemon/server'];
/** What the commands import only when they need it: bundles of their own, not to be read at every start. */
const parts = ['src/cli/nvmfs-commands', 'src/daemon/unsupervised'];
const modules = [...commands, ...parts];

/** In a bundle, `import.meta.url` of a module stays what it was: modules look for their package with it. */
const keepModuleUrls = {
  name: 'keep module URLs',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      const code = await readFile(path, 'utf8');
      return { contents: code.replaceAll('import.meta.url', `moduleUrl(${JSON.stringify(relative(dist, path))})`) };
    });
  },
};

const importPartsFromBundles = (directory) => ({
  name: 'import parts from their bundles',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ path, kind, resolveDir }) => {
      const module = relative(dist, resolve(resolveDir, path)).replace(/\.js$/, '');
      if (kind !== 'dynamic-import' || !parts.includes(module)) return undefined;
      return { path: `./${relative(directory, join(dist, 'bundle', `${module}.cjs`))}`, external: true };
    });
  },
});

for (const module of modules) {
  const bundle = join(dist, 'bundle', `${module}.cjs`);
  // Complete when it gets its name: a command that starts during a build takes the old one or the new one, not a half.
  const outfile = `${bundle}.new`;
  const toDist = relative(dirname(bundle), dist);
  await build({
    entryPoints: [join(dist, `${module}.js`)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // One of them looks for its files beside itself, the other for a library.
    external: ['yargs', 'fuse-native'],
    // import() would start node's other module loader.
    supported: { 'dynamic-import': false },
    plugins: [keepModuleUrls, importPartsFromBundles(dirname(bundle))],
    banner: { js: `const moduleUrl = (path) => require('node:url').pathToFileURL(require('node:path').join(__dirname, ${JSON.stringify(toDist)}, path)).href;` },
    logLevel: 'warning',
  });
  await rename(outfile, bundle);
}
