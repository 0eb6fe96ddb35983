// A file whose medium this process maps itself: the image, and a lease on the file's blocks that lasts as long as any mapping.
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol.h"

namespace nvm {

struct File {
  // A copy of the caller's descriptor: the same open file, which has the lease.
  int fd;
  // The image, opened with the caller's own rights.
  int image;
  int references;
  uint32_t domain;
  bool declared;
  bool writable;
  uint64_t device;
  uint64_t ino;
  // What the medium maps: only whole, aligned pieces of so many bytes. A page, and more on most /dev/dax devices.
  size_t unit;
  // A mapping without access that keeps the file open, and so the lease, even if somebody closes all descriptors.
  void* pin;
};

enum class Opened {
  // `file` is set.
  kDirect,
  // The kernel maps the file's own pages of the medium (a region).
  kRegion,
  // Only the kernel can map it, through the page cache: another filesystem, no right to open the image, or others have it cached.
  kOrdinary,
};

// Prepares the mapping of an open file; `start`: any page of what will be mapped. `is_sync`: with kRegion, whether the medium is persistent memory.
Opened open_file(int fd, int access_mode, uint64_t start, File*& file, bool& is_sync);

void reference(File* file);
// Closes it with its last mapping; the lease ends.
void release(File* file);

// Whether a store is durable after a flush of its cache line and a fence, or is said to be.
inline bool is_sync(const File& file) { return file.domain == kDomainSyncDax || file.declared; }

// Asks for the written extents of a range, filling holes first if `flags` has kRangeFill. 0, or -1 with errno: ESTALE if the
// descriptor is not that file's any more.
template <unsigned N>
int ask_range(const File& file, uint64_t offset, uint64_t length, uint32_t flags, Range<N>& range);

extern template int ask_range<480>(const File&, uint64_t, uint64_t, uint32_t, LargeRange&);
extern template int ask_range<16>(const File&, uint64_t, uint64_t, uint32_t, SmallRange&);

}  // namespace nvm
