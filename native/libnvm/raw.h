// System calls that a preloaded library would intercept, made directly.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "../map_flags.h"

namespace nvm {

constexpr size_t kPage = 4096;
constexpr size_t kHuge = size_t{2} << 20;

inline void* raw_mmap(void* address, size_t length, int prot, int flags, int fd, off_t offset) {
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, length, prot, flags, fd, offset));
}
inline int raw_munmap(void* address, size_t length) { return static_cast<int>(syscall(SYS_munmap, address, length)); }
inline int raw_mprotect(void* address, size_t length, int prot) {
  return static_cast<int>(syscall(SYS_mprotect, address, length, prot));
}
inline int raw_msync(void* address, size_t length, int flags) {
  return static_cast<int>(syscall(SYS_msync, address, length, flags));
}
inline void* raw_mremap(void* old, size_t old_length, size_t new_length, int flags, void* target) {
  return reinterpret_cast<void*>(syscall(SYS_mremap, old, old_length, new_length, flags, target));
}
inline int raw_madvise(void* address, size_t length, int advice) {
  return static_cast<int>(syscall(SYS_madvise, address, length, advice));
}

inline void* at(uintptr_t address) { return reinterpret_cast<void*>(address); }
inline uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }
inline size_t whole_pages(size_t length) { return (length + kPage - 1) / kPage * kPage; }

}  // namespace nvm
