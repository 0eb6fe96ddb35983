import { readFileSync } from 'node:fs';

/** Capabilities by their numbers in linux/capability.h. */
export const Capability = { FSETID: 4, SYS_ADMIN: 21 } as const;
/** The uid of a request that carries none. */
const NO_ID = 0xffffffff;

/**
 * Whether a waiting process may do what only an administrator may: the superuser with CAP_SYS_ADMIN, or whoever runs this daemon. The header of a request
 * doesn't tell: with id-mapped mounts it has no ids unless something is created, and it never has capabilities. False for a
 * process that can't be seen from here.
 */
export function mayAdminister(pid: number): boolean {
  return isPrivileged(pid, Capability.SYS_ADMIN);
}

/**
 * Whether the caller of a request, known by its header's `uid` and `pid`, has what root usually has. A header with a uid is believed: it costs
 * nothing. With id-mapped mounts there is none unless something is created, and the process itself is looked at.
 */
export function hasRootsCapability(uid: number, pid: number, capability: number): boolean {
  return uid === NO_ID ? isPrivileged(pid, capability) : uid === 0;
}

function isPrivileged(pid: number, capability: number): boolean {
  if (pid === 0) return false;
  let status: string;
  try {
    status = readFileSync(`/proc/${String(pid)}/status`, 'latin1');
  } catch {
    return false; // it is gone, or of another pid namespace: nobody that is known to be allowed
  }
  // Real, effective, saved and filesystem ids, as this process's user namespace has them: root of another one is not 0 here.
  const uid = Number(/^Uid:(?:\s+\d+){3}\s+(\d+)$/m.exec(status)?.[1] ?? NaN);
  const capabilities = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const own = process.geteuid?.() ?? 0;
  return own === 0 ? uid === 0 && ((capabilities >> BigInt(capability)) & 1n) === 1n : uid === 0 || uid === own;
}
