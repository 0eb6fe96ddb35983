// Guards the layers of the design: dependencies point down only, and only the doors to the medium and to the kernel load the addon.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** Compiled, this file is dist/test/unit/layers.test.js. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The layers from the lowest up: a file may import from its own layer and from those before it. */
const LAYERS: readonly (readonly string[])[] = [
  ['src/base'],
  ['native'],
  ['src/nvm'],
  ['src/pmem'],
  ['src/format', 'src/region'],
  ['src/journal'],
  ['src/tree', 'src/space'],
  ['src/file', 'src/dir', 'src/xattr'],
  ['src/check'],
  ['src/repair'],
  ['src/fs'],
  ['src/fuse'],
  ['src/daemon'],
  ['mkfs', 'src/cli'],
];

/** Exceptions that narrow the rule: what a directory may import although, or only because, the order says otherwise. */
const ALLOWED_FOR_MKFS = ['mkfs', 'src/base', 'src/pmem', 'src/format', 'src/region', 'src/journal'];
const MAY_LOAD_ADDON = [/^native\//, /^src\/pmem\/mapped[^/]*\.ts$/, /^src\/region\/host[^/]*\.ts$/, /^src\/fuse\/devfuse[^/]*\.ts$/, /^src\/daemon\//, /^src\/nvm\//];

interface Import {
  readonly file: string;
  readonly line: number;
  /** Path of the imported file below the root, with .ts. */
  readonly target: string;
  /** True for `import type`: nothing is left of it at run time. */
  readonly typeOnly: boolean;
}

function sourcesBelow(directory: string): string[] {
  const path = join(ROOT, directory);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name));
}

function importsOf(file: string): Import[] {
  const imports: Import[] = [];
  const text = readFileSync(join(ROOT, file), 'utf8');
  // Static and dynamic imports and re-exports of relative modules, wherever the line breaks are.
  for (const match of text.matchAll(/\b(import type [^;]*?from|from|import)\s*\(?\s*(['"])(\.{1,2}\/[^'"]+)\2/g)) {
    const target = relative(ROOT, resolve(ROOT, dirname(file), match[3] ?? '')).replace(/\.js$/, '.ts');
    const line = text.slice(0, match.index).split('\n').length;
    imports.push({ file, line, target, typeOnly: match[1]?.startsWith('import type') ?? false });
  }
  return imports;
}

function layerOf(path: string): number {
  return LAYERS.findIndex((directories) => directories.some((directory) => path.startsWith(`${directory}/`)));
}

/** What is wrong with an import, or null. */
function violation({ file, target, typeOnly }: Import): string | null {
  const from = layerOf(file);
  const to = layerOf(target);
  // The addon is typed in the terms of the seam it implements.
  if (typeOnly && file === 'native/addon.ts' && target === 'src/pmem/pmem.ts') return null;
  if (to < 0) return `${target} belongs to no layer`;
  if (to > from) return `${file} must not know ${target}, which is above it`;
  if (file.startsWith('mkfs/') && !ALLOWED_FOR_MKFS.some((directory) => target.startsWith(`${directory}/`))) {
    return `mkfs may use ${ALLOWED_FOR_MKFS.join(', ')}, not ${target}`;
  }
  if (target.startsWith('native/') && !MAY_LOAD_ADDON.some((allowed) => allowed.test(file))) {
    return `${file} must not load the addon`;
  }
  return null;
}

t.test('every import points to the same layer or a lower one', (t) => {
  const files = LAYERS.flat().flatMap(sourcesBelow);
  t.ok(files.length > 10, 'the sources were found');
  const imports = files.flatMap(importsOf);
  t.ok(imports.length > 10, 'imports were found');
  const wrong = imports
    .map((one) => ({ at: `${one.file}:${String(one.line)}`, problem: violation(one) }))
    .filter(({ problem }) => problem !== null);
  t.same(wrong, [], 'no import points up');
  t.end();
});

t.test('the rule itself bites', (t) => {
  const probe = (file: string, target: string): string | null => violation({ file, line: 1, target, typeOnly: false });
  t.match(probe('src/base/a.ts', 'src/format/b.ts'), /above/, 'base may not know format');
  t.match(probe('mkfs/a.ts', 'src/fs/b.ts'), /mkfs may use/, 'mkfs may not use the engine');
  t.match(probe('src/fs/a.ts', 'native/addon.ts'), /addon/, 'the engine may not load the addon');
  t.equal(probe('src/pmem/mapped.ts', 'native/addon.ts'), null, 'the mapped medium may');
  t.equal(probe('src/fs/a.ts', 'src/tree/b.ts'), null, 'the engine may use trees');
  t.end();
});

t.test('every directory of src belongs to a layer', (t) => {
  const directories = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  t.same(directories.map((entry) => `src/${entry.name}/x.ts`).filter((path) => layerOf(path) < 0), [], 'no directory is left out');
  t.end();
});
