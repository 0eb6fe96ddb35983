import { Opcode, OPCODE_LIMIT, type OpcodeNumber } from '../opcodes.js';
import type { Handler } from '../session.js';
import * as attributes from './attributes.js';
import * as connection from './connection.js';
import * as data from './data.js';
import * as directory from './directory.js';
import * as ioctl from './ioctl.js';
import * as namespace from './namespace.js';
import * as xattrs from './xattrs.js';

/**
 * Who serves what. Missing are the requests that ENOSYS answers for good, so that the kernel doesn't ask again: FLUSH
 * (nothing waits for close), ACCESS (default_permissions), POLL, BMAP.
 */
const byOpcode: readonly (readonly [OpcodeNumber, Handler])[] = [
  [Opcode.LOOKUP, namespace.lookup],
  [Opcode.FORGET, connection.forget],
  [Opcode.GETATTR, attributes.getAttributes],
  [Opcode.SETATTR, attributes.setAttributes],
  [Opcode.READLINK, namespace.readlink],
  [Opcode.SYMLINK, namespace.symlink],
  [Opcode.MKNOD, namespace.mknod],
  [Opcode.MKDIR, namespace.mkdir],
  [Opcode.UNLINK, namespace.unlink],
  [Opcode.RMDIR, namespace.rmdir],
  [Opcode.RENAME, namespace.rename],
  [Opcode.LINK, namespace.link],
  [Opcode.OPEN, data.open],
  [Opcode.READ, data.read],
  [Opcode.WRITE, data.write],
  [Opcode.STATFS, attributes.statfs],
  [Opcode.RELEASE, data.release],
  [Opcode.FSYNC, data.fsync],
  [Opcode.SETXATTR, xattrs.setxattr],
  [Opcode.GETXATTR, xattrs.getxattr],
  [Opcode.LISTXATTR, xattrs.listxattr],
  [Opcode.REMOVEXATTR, xattrs.removexattr],
  [Opcode.INIT, connection.init],
  [Opcode.OPENDIR, directory.opendir],
  [Opcode.READDIR, directory.readdir],
  [Opcode.RELEASEDIR, directory.releasedir],
  [Opcode.FSYNCDIR, data.fsync],
  [Opcode.CREATE, namespace.create],
  [Opcode.INTERRUPT, connection.noReply],
  [Opcode.DESTROY, connection.destroy],
  [Opcode.IOCTL, ioctl.ioctl],
  [Opcode.NOTIFY_REPLY, connection.noReply],
  [Opcode.BATCH_FORGET, connection.batchForget],
  [Opcode.FALLOCATE, data.fallocate],
  [Opcode.READDIRPLUS, directory.readdirplus],
  [Opcode.RENAME2, namespace.rename2],
  [Opcode.LSEEK, data.lseek],
  [Opcode.COPY_FILE_RANGE, data.copyFileRange],
  [Opcode.SYNCFS, connection.syncfs],
  [Opcode.TMPFILE, namespace.tmpfile],
  [Opcode.STATX, attributes.statx],
  [Opcode.COPY_FILE_RANGE_64, data.copyFileRange64],
];

/** Indexed by opcode. */
export const handlers: readonly (Handler | undefined)[] = (() => {
  const list = new Array<Handler | undefined>(OPCODE_LIMIT).fill(undefined);
  for (const [opcode, handler] of byOpcode) list[opcode] = handler;
  return list;
})();
