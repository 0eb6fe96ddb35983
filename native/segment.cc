#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace nvmfs {

int create_segment(uint64_t size, SystemError& error) {
  const int fd = memfd_create("nvmfs", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, static_cast<off_t>(size)) == 0) return fd;
  error = system_error(errno, "cannot make a shared memory segment");
  if (fd >= 0) close(fd);
  return -1;
}

void* map_segment(int fd, uint64_t offset, size_t length, SystemError& error) {
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (base != MAP_FAILED) return base;
  error = system_error(errno, "cannot map the shared memory segment");
  return nullptr;
}

int64_t next_segment_data(int fd, uint64_t from, SystemError& error) {
  const off_t found = lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  if (found >= 0 || errno == ENXIO) return found;
  error = system_error(errno, "cannot search the shared memory segment");
  return -1;
}

bool punch_segment(int fd, uint64_t offset, uint64_t length, SystemError& error) {
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return true;
  error = system_error(errno, "cannot give back a part of the shared memory segment");
  return false;
}

}  // namespace nvmfs
