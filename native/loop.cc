#include "loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace nvmfs {

namespace {

// Path of the file behind a loop device as its kernel thread sees it; false for partitions of one, too.
bool read_backing_path(dev_t device, char (&path)[PATH_MAX]) {
  char name[80];
  snprintf(name, sizeof name, "/sys/dev/block/%u:%u/loop/backing_file", major(device), minor(device));
  FILE* file = fopen(name, "re");
  if (file == nullptr) return false;
  const size_t length = fread(path, 1, sizeof path - 1, file);
  fclose(file);
  if (length == 0 || path[length - 1] != '\n') return false;
  path[length - 1] = '\0';
  return true;
}

}  // namespace

int open_backing_file(int device) {
  loop_info64 info;
  struct stat status;
  char path[PATH_MAX];
  if (fstat(device, &status) != 0 || ioctl(device, LOOP_GET_STATUS64, &info) != 0) return -1;
  if (!read_backing_path(status.st_rdev, path)) return -1;
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return -1;
  // Another file may have taken its place.
  if (fstat(file, &status) == 0 && status.st_ino == info.lo_inode && status.st_dev == info.lo_device) return file;
  close(file);
  return -1;
}

}  // namespace nvmfs
