#include "place.h"

#include <sys/mman.h>

#include <cerrno>

#include "raw.h"

namespace nvm {

namespace {

// A memfd without a byte: every access is beyond its end.
int nothing() {
  static int fd = -1;
  if (fd < 0) fd = memfd_create("nvm-nothing", MFD_CLOEXEC);
  return fd;
}

int place_extent(Mapping& mapping, uintptr_t start, uintptr_t end, uint64_t address) {
  const File& file = *mapping.file;
  if ((start | end | address) % file.unit != 0) {
    errno = EOPNOTSUPP;
    return -1;
  }
  // Where it is really persistent memory the kernel vouches for it.
  const int flags = file.domain == kDomainSyncDax ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  void* placed = raw_mmap(at(start), end - start, mapping.prot, flags | MAP_FIXED, file.image, static_cast<off_t>(address));
  if (placed == MAP_FAILED) return -1;
  if (!add(mapping.placed, start, end)) {
    errno = ENOMEM;
    return -1;
  }
  return 0;
}

// Maps the extents of an answer as far as they lie in [start, end) and are not there yet.
template <unsigned N>
int place_extents(Mapping& mapping, uintptr_t start, uintptr_t end, const Range<N>& range) {
  for (uint32_t i = 0; i < range.answer.count; i++) {
    const Extent& extent = range.extents[i];
    const uintptr_t first = mapping.start + (extent.offset - mapping.offset);
    uintptr_t last = first + extent.length;
    if (last > end) last = end;
    AddressRange gap;
    for (uintptr_t next = first < start ? start : first; next_gap(mapping.placed, next, last, gap); next = gap.end) {
      if (place_extent(mapping, gap.start, gap.end, extent.address + (gap.start - first)) != 0) return -1;
    }
  }
  return 0;
}

uint64_t offset_of(const Mapping& mapping, uintptr_t address) { return mapping.offset + (address - mapping.start); }

}  // namespace

int place_written(Mapping& mapping, uintptr_t start, uintptr_t end) {
  LargeRange range;
  while (start < end) {
    const uint64_t offset = offset_of(mapping, start);
    if (ask_range(*mapping.file, offset, end - start, 0, range) != 0) return -1;
    if (place_extents(mapping, start, end, range) != 0) return -1;
    // The end of the file.
    if (range.answer.reached <= offset) return 0;
    start += range.answer.reached - offset;
  }
  return 0;
}

int place_filled(Mapping& mapping, uintptr_t start, uintptr_t end) {
  SmallRange range;
  uint32_t flags = kRangeFill;
  while (start < end) {
    const uint64_t offset = offset_of(mapping, start);
    if (ask_range(*mapping.file, offset, end - start, flags, range) != 0) return -1;
    if (place_extents(mapping, start, end, range) != 0) return -1;
    if (range.answer.reached <= offset) return 0;
    start += range.answer.reached - offset;
    flags = 0;
  }
  return 0;
}

int place_dead(Mapping& mapping, uintptr_t start, uintptr_t end) {
  if (raw_mmap(at(start), end - start, mapping.prot, MAP_SHARED | MAP_FIXED, nothing(), 0) == MAP_FAILED) return -1;
  if (add(mapping.dead, start, end)) return 0;
  errno = ENOMEM;
  return -1;
}

int file_size(const Mapping& mapping, uint64_t& size) {
  SmallRange range;
  if (ask_range(*mapping.file, mapping.offset, kPage, 0, range) != 0) return -1;
  size = range.answer.file_size;
  return 0;
}

}  // namespace nvm
