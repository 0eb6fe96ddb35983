#include "domain.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

namespace nvmfs {

// Only a successful mapping with MAP_SHARED_VALIDATE proves that the medium is synchronous DAX: without VALIDATE the
// kernel ignores MAP_SYNC where it means nothing.
bool is_synchronous(int fd, uint64_t length, int protection) {
  void* probe = mmap(nullptr, length, protection, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  if (probe == MAP_FAILED) return false;
  munmap(probe, length);
  return true;
}

bool lives_in_memory(int fd) {
  struct statfs fs;
  if (fstatfs(fd, &fs) != 0) return false;
  const auto type = static_cast<unsigned long>(fs.f_type);
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == HUGETLBFS_MAGIC;
}

}  // namespace nvmfs
