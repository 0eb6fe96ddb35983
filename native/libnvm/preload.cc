// libnvm-preload.so: unmodified programs map files of a volume from the medium, with the system's own calls.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdarg>

#include "map.h"
#include "raw.h"
#include "registry.h"
#include "sync.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

using namespace nvm;

namespace {

constexpr int kType = 0x0f;
// What a validating mapping may ask for.
constexpr int kValidated = kType | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_LOCKED | MAP_STACK | MAP_SYNC |
                           MAP_DENYWRITE | MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_HUGETLB;

bool is_on_fuse(int fd) {
  struct statfs status;
  return fstatfs(fd, &status) == 0 && status.f_type == FUSE_SUPER_MAGIC;
}

void* map_raw(void* address, size_t length, int prot, int flags, int fd, off_t offset) {
  void* base = raw_mmap(address, length, prot, flags, fd, offset);
  // Whatever was there before is gone.
  if (base != MAP_FAILED && (flags & MAP_FIXED) != 0) {
    Guard guard;
    forget(number(base), number(base) + whole_pages(length));
  }
  return base;
}

void* map(void* address, size_t length, int prot, int flags, int fd, off_t offset) {
  const int type = flags & kType;
  const bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
  const int before = errno;
  if (!shared || fd < 0 || (flags & MAP_ANONYMOUS) != 0 || length == 0 || !is_on_fuse(fd)) {
    errno = before;
    return map_raw(address, length, prot, flags, fd, offset);
  }
  if (type == MAP_SHARED_VALIDATE && (flags & ~kValidated) != 0) {
    errno = EOPNOTSUPP;
    return MAP_FAILED;
  }
  MapRequest request = {};
  request.fd = fd;
  request.offset = offset;
  request.length = length;
  request.prot = prot;
  request.populate = (flags & MAP_POPULATE) != 0;
  request.address = address;
  request.fixed = (flags & MAP_FIXED) != 0;
  request.must_be_sync = type == MAP_SHARED_VALIDATE && (flags & MAP_SYNC) != 0;
  if ((flags & MAP_FIXED_NOREPLACE) != 0) {
    // Whether it is free, only the kernel can say; whoever comes between loses, as ever.
    void* free = raw_mmap(address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (free == MAP_FAILED) return free;
    request.fixed = true;
    void* base = map_file(request);
    if (base == MAP_FAILED) {
      const int error = errno;
      raw_munmap(address, length);
      errno = error;
    }
    return base;
  }
  void* base = map_file(request);
  if (base != MAP_FAILED) errno = before;
  return base;
}

}  // namespace

EXPORT void* mmap(void* address, size_t length, int prot, int flags, int fd, off_t offset) { return map(address, length, prot, flags, fd, offset); }
EXPORT void* mmap64(void* address, size_t length, int prot, int flags, int fd, off64_t offset) { return map(address, length, prot, flags, fd, offset); }

EXPORT int munmap(void* address, size_t length) { return unmap(address, length); }

EXPORT int mprotect(void* address, size_t length, int prot) { return protect(address, length, prot); }

EXPORT int msync(void* address, size_t length, int flags) {
  const int known = MS_ASYNC | MS_SYNC | MS_INVALIDATE;
  if (number(address) % kPage != 0 || (flags & ~known) != 0 || (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) {
    errno = EINVAL;
    return -1;
  }
  Guard guard;
  return sync_range(number(address), number(address) + whole_pages(length), flags);
}

EXPORT void* mremap(void* old, size_t old_length, size_t new_length, int flags, ...) {
  void* target = nullptr;
  if ((flags & MREMAP_FIXED) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    target = va_arg(arguments, void*);
    va_end(arguments);
  }
  return remap(old, old_length, new_length, flags, target);
}

// Giving pages of the image back to the host would be somebody else's data loss.
EXPORT int madvise(void* address, size_t length, int advice) {
  if (advice == MADV_REMOVE) {
    Guard guard;
    const Mapping* mapping = find(number(address), number(address) + whole_pages(length));
    if (mapping != nullptr && is_direct(*mapping)) {
      errno = EOPNOTSUPP;
      return -1;
    }
  }
  return raw_madvise(address, length, advice);
}
