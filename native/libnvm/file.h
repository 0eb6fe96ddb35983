// A file of a volume of which something is mapped, kept open as long as that is so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol.h"

namespace nvm {

struct File {
  // A copy of the caller's descriptor: the same open file. It has the lease, where the image is mapped, and the locks of flock(2), which the kernel's
  // own mapping of a region would not keep: that holds the host file, not the open file.
  int fd;
  // The image, opened with the caller's own rights; -1: the kernel maps the file, from its region.
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

// Prepares the mapping of an open file; `start`: any page of what will be mapped. Null: only the kernel can map it, through the page cache, as it is on another
// filesystem, has an image that this process has no right to open, or is cached by others.
File* open_file(int fd, int access_mode, uint64_t start);

void reference(File* file);
// Closes it with its last mapping; the lease ends.
void release(File* file);

// Whether this process maps the image itself; otherwise the kernel maps the region.
inline bool is_direct(const File& file) { return file.image >= 0; }

// Whether a store is durable after a flush of its cache line and a fence, or is said to be.
inline bool is_sync(const File& file) { return file.domain == kDomainSyncDax || file.declared; }

// Asks for the written extents of a range, filling holes first if `flags` has kRangeFill. 0, or -1 with errno: ESTALE if the
// descriptor is not that file's any more.
template <unsigned N>
int ask_range(const File& file, uint64_t offset, uint64_t length, uint32_t flags, Range<N>& range);

extern template int ask_range<480>(const File&, uint64_t, uint64_t, uint32_t, LargeRange&);
extern template int ask_range<16>(const File&, uint64_t, uint64_t, uint32_t, SmallRange&);

}  // namespace nvm
