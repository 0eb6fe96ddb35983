#include "sync.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../persist.h"
#include "error.h"
#include "nvm.h"
#include "raw.h"
#include "registry.h"

namespace nvm {

namespace {

// Holes that nobody touched have nothing to write, and flushing them would touch them.
int sync_placed(const Mapping& mapping, uintptr_t start, uintptr_t end, int flags) {
  AddressRange part;
  for (uintptr_t next = start; next_part(mapping.placed, next, end, part); next = part.end) {
    if (mapping.file->domain == kDomainFile) {
      if (raw_msync(at(part.start), part.end - part.start, flags) != 0) return -1;
    } else if ((mapping.prot & PROT_READ) != 0) {
      nvmfs::flush_range(static_cast<const uint8_t*>(at(part.start)), part.end - part.start);
    }
  }
  return 0;
}

template <typename Condition>
bool whole_range(const void* address, size_t length, Condition condition) {
  Guard guard;
  uintptr_t next = number(address);
  const uintptr_t end = next + (length == 0 ? 1 : length);
  while (next < end) {
    const Mapping* mapping = find(next, end);
    if (mapping == nullptr || mapping->start > next || !condition(*mapping)) return false;
    next = mapping->end;
  }
  return true;
}

}  // namespace

int sync_range(uintptr_t start, uintptr_t end, int flags) {
  for (uintptr_t next = start; next < end;) {
    const Mapping* mapping = find(next, end);
    // The pages of the system's call are whole.
    const uintptr_t gap_end = mapping == nullptr ? end : mapping->start;
    if (gap_end > next) {
      const uintptr_t first = next / kPage * kPage;
      if (raw_msync(at(first), gap_end - first, flags) != 0) return -1;
      next = gap_end;
      continue;
    }
    const uintptr_t part_end = mapping->end < end ? mapping->end : end;
    if (!is_direct(*mapping)) {
      const uintptr_t first = next / kPage * kPage;
      if (raw_msync(at(first), part_end - first, flags) != 0) return -1;
    } else if (sync_placed(*mapping, next / kPage * kPage, whole_pages(part_end), flags) != 0) {
      return -1;
    }
    next = part_end;
  }
  nvmfs::store_fence();
  return 0;
}

}  // namespace nvm

extern "C" {

int nvm_sync(int fd, void* address, size_t length) {
  using namespace nvm;
  Guard guard;
  if (address != nullptr) {
    if (sync_range(number(address), number(address) + length, MS_SYNC) == 0) return 0;
    return fail(errno, "msync: %s", strerror(errno));
  }
  struct stat status;
  if (fstat(fd, &status) != 0) return fail(errno, "not an open file");
  for (size_t i = 0; i < mapping_count(); i++) {
    const Mapping& known = *mapping(i);
    if (!is_direct(known) || known.file->device != status.st_dev || known.file->ino != status.st_ino) continue;
    if (sync_range(known.start, known.end, MS_SYNC) != 0) return fail(errno, "msync: %s", strerror(errno));
  }
  return fsync(fd) == 0 ? 0 : fail(errno, "fsync: %s", strerror(errno));
}

void nvm_persist(const void* address, size_t length) {
  nvmfs::flush_range(static_cast<const uint8_t*>(address), length);
  nvmfs::store_fence();
}

int nvm_is_sync(const void* address, size_t length) {
  return nvm::whole_range(address, length, [](const nvm::Mapping& mapping) {
    return mapping.file != nullptr && nvm::is_sync(*mapping.file);
  });
}

int nvm_is_direct(const void* address, size_t length) {
  return nvm::whole_range(address, length, [](const nvm::Mapping& mapping) { return nvm::is_direct(mapping); });
}

}  // extern "C"
