import { readFileSync } from 'node:fs';

/** The version of this package, from its package.json. Throws when the installation is incomplete. */
export function packageVersion(): string {
  // Compiled, this file is dist/src/base/version.js.
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed && typeof parsed.version === 'string') {
    return parsed.version;
  }
  throw new Error('package.json of nvmfs names no version');
}
