/** mkfs and mount of a large sparse image: wall time of the whole commands, as a user waits for them. */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run, unmount } from './process.js';
import { median } from './statistics.js';

export interface VolumeTimes {
  readonly size: string;
  readonly rounds: number;
  readonly nodeStart_ms: number;
  readonly mkfs_ms: number;
  readonly mkfsWritten_bytes: number;
  readonly mount_ms: number;
  readonly umount_ms: number;
}

export const MKFS_GOAL_MS = 100;
export const MOUNT_GOAL_MS = 500;

const ROUNDS = 9;
const SIZE = '1t';

/** Measures with nothing else running; leaves nothing mounted. */
export async function measureVolumeTimes(root: string, scratch: string, medium: string): Promise<VolumeTimes> {
  const image = join(medium, 'large.image');
  const directory = join(scratch, 'large');
  mkdirSync(directory);
  const times = { node: [] as number[], mkfs: [] as number[], mount: [] as number[], umount: [] as number[] };
  let written_bytes = 0;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      times.node.push((await run([process.execPath, '-e', '0'])).wall_ms);
      times.mkfs.push((await run([join(root, 'bin/mkfs.nvmfs'), '-q', '-s', SIZE, image])).wall_ms);
      written_bytes = statSync(image).blocks * 512;
      times.mount.push((await run([join(root, 'bin/nvmfs'), 'mount', image, directory])).wall_ms);
      times.umount.push((await run([join(root, 'bin/nvmfs'), 'umount', directory])).wall_ms);
      rmSync(image);
    }
  } finally {
    await unmount(directory);
    rmSync(image, { force: true });
  }
  return {
    size: SIZE, rounds: ROUNDS, nodeStart_ms: median(times.node), mkfs_ms: median(times.mkfs),
    mkfsWritten_bytes: written_bytes, mount_ms: median(times.mount), umount_ms: median(times.umount),
  };
}
