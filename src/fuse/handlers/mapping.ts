import { FsError } from '../../base/errno.js';
import { setU64 } from '../../format/numbers.js';
import type { DurabilityDomain } from '../../pmem/pmem.js';
import {
  EXTENTS_MAX,
  IDENTITY_VERSION,
  IdentityFlag,
  IMAGE_IDENTITY_SIZE,
  ImageIdentityOut,
  MAP_EXTENT_SIZE,
  MAP_RANGE_HEADER_SIZE,
  MapRangeFlag,
  MapRangeIn,
  MapRangeOut,
  PlacementData,
} from '../ioctls.js';
import { IOCTL_IN_SIZE, IoctlIn } from '../protocol.js';
import type { Session } from '../session.js';

/*
 * What libnvm asks (native/libnvm/protocol.h): where the medium is, and where on it a file lies. Whoever may open the file may ask; that helps only
 * those who may open the image, too.
 */

const domainNumbers: Readonly<Record<DurabilityDomain, number>> = { file: 0, memory: 1, 'sync-dax': 2 };

/** Where the medium is that this file lies on. ENOTTY where programs can't map it. */
export function imageIdentity(session: Session): void {
  const { fs, image, request, replies } = session;
  if (image === null) throw new FsError('ENOTTY');
  if (request.u32(IoctlIn.outSize) < IMAGE_IDENTITY_SIZE) throw new FsError('EINVAL');
  const path = Buffer.from(image.path);
  // A longer one could not be opened anyway.
  if (path.length >= IMAGE_IDENTITY_SIZE - ImageIdentityOut.path) throw new FsError('ENOTTY');
  const { isRegion } = fs.placementOf(request.nodeid);
  // The host file of a region may be on another medium than the image.
  const domain = fs.regionDomain(request.nodeid) ?? image.domain;
  const at = replies.beginIoctl(IMAGE_IDENTITY_SIZE);
  const { view } = replies;
  view.setUint32(at + ImageIdentityOut.version, IDENTITY_VERSION, true);
  view.setUint32(at + ImageIdentityOut.flags, image.declared ? IdentityFlag.DECLARED : 0, true);
  view.setUint32(at + ImageIdentityOut.domain, domainNumbers[domain], true);
  view.setBigUint64(at + ImageIdentityOut.device, image.device, true);
  view.setBigUint64(at + ImageIdentityOut.inode, image.inode, true);
  view.setUint32(at + ImageIdentityOut.placement, isRegion ? PlacementData.region : PlacementData.image, true);
  setU64(view, at + ImageIdentityOut.fileIno, request.nodeid);
  replies.bytes.set(path, at + ImageIdentityOut.path);
  replies.ioctl();
}

/** The written extents of a part of the file; with FILL its holes are filled first, with LEASE the open file pins them. */
export function mapRange(session: Session): void {
  const { fs, image, request, replies, extents, attributes, handles } = session;
  if (image === null) throw new FsError('ENOTTY');
  const room = request.u32(IoctlIn.outSize) - MAP_RANGE_HEADER_SIZE;
  if (room < MAP_EXTENT_SIZE || request.u32(IoctlIn.inSize) < MAP_RANGE_HEADER_SIZE) throw new FsError('EINVAL');
  request.need(IOCTL_IN_SIZE + MAP_RANGE_HEADER_SIZE);
  const offset = request.fileOffset(IOCTL_IN_SIZE + MapRangeIn.offset);
  const length = request.fileOffset(IOCTL_IN_SIZE + MapRangeIn.length);
  const flags = request.u32(IOCTL_IN_SIZE + MapRangeIn.flags);
  if ((flags & MapRangeFlag.LEASE) !== 0) handles.lease(request.u64(IoctlIn.fh), request.nodeid, (flags & MapRangeFlag.WRITE) !== 0);
  const fill = (flags & MapRangeFlag.FILL) !== 0;
  extents.limit = Math.min(EXTENTS_MAX, Math.floor(room / MAP_EXTENT_SIZE));
  const reached = fs.mapRange(request.nodeid, offset, length, fill, extents);
  fs.getAttributes(request.nodeid, attributes);
  // The kernel keeps size, blocks and times of what it did not see change: it forgets them before the caller goes on.
  if (fill) replies.attributesChanged(request.nodeid);
  const at = replies.beginIoctl(MAP_RANGE_HEADER_SIZE + extents.count * MAP_EXTENT_SIZE);
  const { view } = replies;
  setU64(view, at + MapRangeOut.reached, reached);
  setU64(view, at + MapRangeOut.fileSize, attributes.size);
  view.setUint32(at + MapRangeOut.count, extents.count, true);
  setU64(view, at + MapRangeOut.fileIno, request.nodeid);
  for (let index = 0; index < extents.count; index += 1) {
    const extent = at + MapRangeOut.extents + index * MAP_EXTENT_SIZE;
    setU64(view, extent, extents.offsets[index] as number);
    setU64(view, extent + 8, extents.addresses[index] as number);
    setU64(view, extent + 16, extents.lengths[index] as number);
  }
  replies.ioctl();
}
