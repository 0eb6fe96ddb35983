import type { FileSystemOperations } from '../fs/operations.js';
import type { MappedPmem } from '../pmem/mapped.js';
import type { LogFunction } from './log.js';
import type { MountControl } from './session.js';
import type { MountSettings, Transport } from './transport.js';

/** What every transport is made of. */
export interface TransportParts {
  readonly fs: FileSystemOperations;
  readonly pmem: MappedPmem;
  readonly settings: MountSettings;
  readonly log: LogFunction;
  readonly control?: MountControl;
}

/** Makes the transport of that name. Throws FsError EOPNOTSUPP if a part it needs is not installed. */
export async function makeTransport(name: Transport['name'], parts: TransportParts): Promise<Transport> {
  const { fs, pmem, settings, log, control } = parts;
  if (name === 'fuse-native') {
    const { FuseNativeTransport } = await import('./fuse-native.js');
    return new FuseNativeTransport(parts);
  }
  const { DevFuseTransport } = await import('./devfuse.js');
  return new DevFuseTransport(fs, pmem.handle, settings, log, control);
}
