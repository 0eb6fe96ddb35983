#include "map.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>

#include "error.h"
#include "fault.h"
#include "file.h"
#include "nvm.h"
#include "place.h"
#include "raw.h"
#include "registry.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace nvm {

namespace {

constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
constexpr size_t kAddressMax = size_t{1} << 47;

bool is_aligned(const void* address) { return number(address) % kPage == 0; }

// Anonymous memory for a mapping of the file from `offset` on: where it is wished, or at an address congruent to the offset modulo 2 MiB, so that huge
// pages of the medium fit. MAP_FAILED with errno.
void* reserve(const MapRequest& request, uint64_t offset) {
  const size_t length = whole_pages(request.length);
  if (request.fixed) return raw_mmap(request.address, length, request.prot, kReserve | MAP_FIXED, -1, 0);
  if (request.address != nullptr && is_aligned(request.address)) {
    void* wished = raw_mmap(request.address, length, request.prot, kReserve | MAP_FIXED_NOREPLACE, -1, 0);
    if (wished == request.address) return wished;
    if (wished != MAP_FAILED) raw_munmap(wished, length);
  }
  if (length < kHuge) return raw_mmap(nullptr, length, request.prot, kReserve, -1, 0);
  void* base = raw_mmap(nullptr, length + kHuge, request.prot, kReserve, -1, 0);
  if (base == MAP_FAILED) return base;
  const size_t before = (offset % kHuge + kHuge - number(base) % kHuge) % kHuge;
  if (before > 0) raw_munmap(base, before);
  if (before < kHuge) raw_munmap(static_cast<uint8_t*>(base) + before + length, kHuge - before);
  return static_cast<uint8_t*>(base) + before;
}

// Fills all holes up to the end of the file.
int populate(Mapping& mapping, uintptr_t end) {
  AddressRange gap;
  for (uintptr_t next = mapping.start; next_gap(mapping.placed, next, end, gap);) {
    // Up to the next 2 MiB boundary of the file, so that each piece can be a huge page.
    const uint64_t offset = mapping.offset + (gap.start - mapping.start);
    const uintptr_t boundary = gap.start + (kHuge - offset % kHuge);
    next = gap.end < boundary ? gap.end : boundary;
    if (place_filled(mapping, gap.start, next) != 0) return -1;
  }
  return 0;
}

// Nobody answers faults: all holes are filled now. A sparse file that is too large for that is refused before anything is filled.
int populate_all(Mapping& mapping, uintptr_t end) {
  uint64_t holes = 0;
  AddressRange gap;
  for (uintptr_t next = mapping.start; next_gap(mapping.placed, next, end, gap); next = gap.end) holes += gap.end - gap.start;
  struct statvfs space;
  if (holes > 0 && fstatvfs(mapping.file->fd, &space) == 0 && holes > uint64_t{space.f_bavail} * space.f_frsize) {
    const char* reason = mapping.file->unit > kPage ? "on a device that maps only large units"
                         : "without permission for userfaultfd (/dev/userfaultfd, CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1)";
    return fail(ENOSPC, "the file has %llu bytes of holes, which must all be filled at once %s, and the volume has less space",
                static_cast<unsigned long long>(holes), reason);
  }
  return populate(mapping, end);
}

// Everything behind the addresses of a new mapping.
int furnish(Mapping& mapping, bool fill) {
  if (place_written(mapping, mapping.start, mapping.end) != 0) return -1;
  AddressRange gap;
  if (!next_gap(mapping.placed, mapping.start, mapping.end, gap)) return 0;
  uint64_t size;
  if (file_size(mapping, size) != 0) return -1;
  const uint64_t in_file = size <= mapping.offset ? 0 : whole_pages(size - mapping.offset);
  const uintptr_t end = in_file < mapping.end - mapping.start ? mapping.start + in_file : mapping.end;
  // With large units it must be known now whether all of the file can be mapped.
  const bool lazy = mapping.file->unit == kPage && can_answer_faults();
  if (!lazy && populate_all(mapping, end) != 0) return -1;
  if (lazy && fill && populate(mapping, end) != 0) return -1;
  for (uintptr_t next = mapping.start; next_gap(mapping.placed, next, mapping.end, gap); next = gap.end) {
    // Past the end of the file there may be something later, if somebody is there to look then.
    if (lazy ? watch(gap.start, gap.end) != 0 : place_dead(mapping, gap.start, gap.end) != 0) return -1;
  }
  return 0;
}

void* map_direct(const MapRequest& request, uint64_t offset, File* file) {
  void* base = reserve(request, offset);
  if (base == MAP_FAILED) return base;
  const uintptr_t start = number(base);
  Mapping mapping = {};
  mapping.start = start;
  mapping.end = start + whole_pages(request.length);
  mapping.offset = offset;
  mapping.prot = request.prot;
  mapping.file = file;
  int error = ENOMEM;
  if (!request.fixed || forget(mapping.start, mapping.end)) {
    reference(file);
    if (furnish(mapping, request.populate) == 0 && insert(mapping)) return base;
    error = errno;
    clear(mapping.placed);
    clear(mapping.dead);
    release(file);
  }
  raw_munmap(base, whole_pages(request.length));
  errno = error;
  return MAP_FAILED;
}

// The kernel maps the file itself, from its page cache (`file` null) or its region; known here so that nvm_sync and nvm_detach find it, and so that the file of
// a region stays open.
void* map_by_kernel(const MapRequest& request, File* file) {
  int flags = MAP_SHARED;
  if (request.fixed) flags |= MAP_FIXED;
  if (request.populate) flags |= MAP_POPULATE;
  void* base = raw_mmap(request.address, request.length, request.prot, flags, request.fd, request.offset);
  if (base == MAP_FAILED) {
    fail(errno, "the kernel can't map the file: %s", strerror(errno));
    return base;
  }
  Mapping mapping = {};
  mapping.start = number(base);
  mapping.end = mapping.start + whole_pages(request.length);
  mapping.offset = static_cast<uint64_t>(request.offset);
  mapping.prot = request.prot;
  mapping.file = file;
  if (forget(mapping.start, mapping.end) && insert(mapping)) {
    if (file != nullptr) reference(file);
    return base;
  }
  raw_munmap(base, whole_pages(request.length));
  fail(ENOMEM, "no memory");
  return MAP_FAILED;
}

// What mmap(2) checks. Returns the access mode of the descriptor, or -1.
int check(const MapRequest& request) {
  if (request.length == 0 || request.length > kAddressMax || request.offset < 0 || request.offset % static_cast<off_t>(kPage) != 0) {
    return fail(EINVAL, "start and length of a mapping are multiples of the page size, and length is not 0");
  }
  const int flags = fcntl(request.fd, F_GETFL);
  if (flags < 0) return fail(EBADF, "not an open file");
  struct stat status;
  if (fstat(request.fd, &status) != 0) return fail(errno, "fstat: %s", strerror(errno));
  if (S_ISDIR(status.st_mode)) return fail(ENODEV, "a directory can't be mapped");
  const int mode = flags & O_ACCMODE;
  if (mode == O_WRONLY || ((request.prot & PROT_WRITE) != 0 && mode != O_RDWR)) return fail(EACCES, "the file was not opened for that");
  return mode;
}

// The kernel maps a region without MAP_SYNC: what a first store to a page would allocate, or somebody wrote behind the end of the file, is in the journal of
// the host's filesystem until somebody waits for it. The server allocates what is missing and makes all of it durable. 0, or -1 with errno.
int make_reachable(const MapRequest& request) {
  struct stat status;
  if (fstat(request.fd, &status) != 0) return -1;
  const off_t whole = request.offset + static_cast<off_t>(request.length), end = whole < status.st_size ? whole : status.st_size;
  if (end <= request.offset) return 0;
  int result;
  do result = fallocate(request.fd, FALLOC_FL_KEEP_SIZE, request.offset, end - request.offset);
  while (result != 0 && errno == EINTR);
  return result;
}

void hold_lock_over_fork() {
  static bool done = false;
  if (!done) pthread_atfork(lock, unlock, reinitialise_lock);
  done = true;
}

}  // namespace

void* map_file(const MapRequest& request) {
  const int mode = check(request);
  if (mode < 0) return MAP_FAILED;
  Guard guard;
  hold_lock_over_fork();
  File* file = open_file(request.fd, mode, static_cast<uint64_t>(request.offset));
  void* base = MAP_FAILED;
  // Where that fails, msync(2) is what makes stores durable.
  if (file != nullptr && !is_direct(*file) && file->domain == kDomainSyncDax && mode == O_RDWR && make_reachable(request) != 0) file->domain = kDomainFile;
  if (request.must_be_sync && (file == nullptr || !is_sync(*file))) {
    fail(EOPNOTSUPP, "the medium is not persistent memory, or can't be mapped by this process");
  } else if (request.must_be_direct && file == nullptr) {
    fail(EOPNOTSUPP, "the file can't be mapped from the medium: not on an NVMFS volume, no right to open its image, or open elsewhere through the page cache");
  } else if (file == nullptr || !is_direct(*file)) {
    base = map_by_kernel(request, file);
  } else if ((request.prot & PROT_WRITE) != 0 && !file->writable) {
    // It may store to the file, but not to the image.
    if (request.must_be_direct || request.must_be_sync) fail(EOPNOTSUPP, "no right to write to the image");
    else base = map_by_kernel(request, nullptr);
  } else {
    errno = 0;
    base = map_direct(request, static_cast<uint64_t>(request.offset), file);
    if (base == MAP_FAILED && errno == EOPNOTSUPP) {
      // Not of whole units, as a /dev/dax device wants them.
      if (!request.must_be_sync && !request.must_be_direct) base = map_by_kernel(request, nullptr);
      else fail(EOPNOTSUPP, "the device maps only whole units of %zu bytes, and the file has parts that are none (ndctl create-namespace --align=4k makes a device without this limit)",
                file->unit);
    } else if (base == MAP_FAILED && errno != ENOSPC) fail(errno, "mapping the medium failed: %s", strerror(errno));
    else if (base == MAP_FAILED && nvm_error()[0] == 0) fail(errno, "the volume has no space for the holes of the file");
  }
  const int error = errno;
  if (file != nullptr) release(file);
  errno = error;
  return base;
}

int unmap(void* address, size_t length) {
  if (!is_aligned(address) || length == 0 || length > kAddressMax) return fail(EINVAL, "an address is a multiple of the page size, and length is not 0");
  Guard guard;
  const uintptr_t start = number(address), end = start + whole_pages(length);
  // The file must stay leased until nothing of it is mapped.
  if (!split(start) || !split(end)) return fail(ENOMEM, "no memory");
  if (raw_munmap(address, length) != 0) return fail(errno, "munmap: %s", strerror(errno));
  forget(start, end);
  return 0;
}

int protect(void* address, size_t length, int prot) {
  if (!is_aligned(address)) return fail(EINVAL, "an address is a multiple of the page size");
  Guard guard;
  const uintptr_t start = number(address), end = start + whole_pages(length);
  if (!split(start) || !split(end)) return fail(ENOMEM, "no memory");
  for (Mapping* mapping = find(start, end); mapping != nullptr; mapping = find(mapping->end, end)) {
    if (is_direct(*mapping) && (prot & PROT_WRITE) != 0 && !mapping->file->writable) return fail(EACCES, "the file, or its image, was not opened for that");
  }
  if (raw_mprotect(address, length, prot) != 0) return fail(errno, "mprotect: %s", strerror(errno));
  for (Mapping* mapping = find(start, end); mapping != nullptr; mapping = find(mapping->end, end)) mapping->prot = prot;
  return 0;
}

// What the kernel maps itself. An old length of 0 maps it a second time.
void* remap_by_kernel(void* old, size_t old_length, size_t new_length, int flags, void* target) {
  const uintptr_t start = number(old), end = start + whole_pages(old_length);
  if (!split(start) || !split(end)) {
    fail(ENOMEM, "no memory");
    return MAP_FAILED;
  }
  const Mapping* known = find(start, start + kPage);
  const bool is_known = known != nullptr && known->start == start;
  Mapping moved = is_known ? *known : Mapping{};
  // Open all the time, as its locks are to last.
  if (moved.file != nullptr) reference(moved.file);
  void* base = raw_mremap(old, old_length, new_length, flags, target);
  const int error = errno;
  bool is_kept = false;
  if (base != MAP_FAILED) {
    if (old_length != 0) forget(start, end);
    moved.start = number(base);
    moved.end = moved.start + whole_pages(new_length);
    moved.attached = false;
    is_kept = forget(moved.start, moved.end) && is_known && insert(moved);
  }
  if (moved.file != nullptr && !is_kept) release(moved.file);
  errno = error;
  return base;
}

void* remap(void* old, size_t old_length, size_t new_length, int flags, void* target) {
  Guard guard;
  const uintptr_t start = number(old), end = start + whole_pages(old_length);
  Mapping* mapping = find(start, end == start ? start + kPage : end);
  if (mapping == nullptr || !is_direct(*mapping)) return remap_by_kernel(old, old_length, new_length, flags, target);
  const bool fixed = (flags & MREMAP_FIXED) != 0, may_move = (flags & MREMAP_MAYMOVE) != 0;
  if (!is_aligned(old) || new_length == 0 || (fixed && (!may_move || !is_aligned(target))) || (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0) {
    fail(EINVAL, "mremap: bad arguments");
    return MAP_FAILED;
  }
  if (mapping->start > start || mapping->end < end) {
    fail(EFAULT, "mremap: not one mapping");
    return MAP_FAILED;
  }
  const uintptr_t new_end = start + whole_pages(new_length);
  if (!fixed && new_end <= end) return new_end == end || unmap(at(new_end), end - new_end) == 0 ? old : MAP_FAILED;
  File* file = mapping->file;
  MapRequest request = {};
  request.length = new_length;
  request.prot = mapping->prot;
  uint64_t offset = mapping->offset + (start - mapping->start);
  if (!fixed) {
    // Growing where it is, if there is room behind it.
    request.address = at(end);
    request.length = new_end - end;
    void* behind = raw_mmap(at(end), request.length, PROT_NONE, kReserve | MAP_FIXED_NOREPLACE, -1, 0);
    if (behind == at(end)) {
      request.fixed = true;
      return map_direct(request, offset + (end - start), file) == MAP_FAILED ? MAP_FAILED : old;
    }
    if (behind != MAP_FAILED) raw_munmap(behind, request.length);
    if (!may_move) {
      fail(ENOMEM, "mremap: no room behind the mapping");
      return MAP_FAILED;
    }
    request.address = nullptr;
    request.length = new_length;
  } else {
    request.address = target;
    request.fixed = true;
  }
  void* moved = map_direct(request, offset, file);
  if (moved != MAP_FAILED) unmap(old, old_length);
  return moved;
}

}  // namespace nvm

extern "C" {

void* nvm_map(int fd, off_t start, size_t length, int prot, int flags) {
  constexpr int kKnown = NVM_POPULATE | NVM_SYNC | NVM_DIRECT;
  if ((flags & ~kKnown) != 0 || length % nvm::kPage != 0) {
    nvm::fail(EINVAL, (flags & ~kKnown) != 0 ? "unknown flags" : "the length of a mapping is a multiple of the page size");
    return NVM_FAILED;
  }
  nvm::MapRequest request = {};
  request.fd = fd;
  request.offset = start;
  request.length = length;
  request.prot = prot;
  request.populate = (flags & NVM_POPULATE) != 0;
  request.must_be_sync = (flags & NVM_SYNC) != 0;
  request.must_be_direct = (flags & NVM_DIRECT) != 0;
  return nvm::map_file(request);
}

int nvm_unmap(void* address, size_t length) { return nvm::unmap(address, length); }

int nvm_protect(void* address, size_t length, int prot) { return nvm::protect(address, length, prot); }

}  // extern "C"
