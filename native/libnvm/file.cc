#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "raw.h"

namespace nvm {

namespace {

// Opens the image, if the caller may and it is the one that the server has.
int open_image(const Identity& identity, bool writable) {
  const int fd = open(identity.path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  struct stat status;
  if (fd < 0) return -1;
  if (fstat(fd, &status) == 0 && status.st_dev == identity.device && status.st_ino == identity.inode) return fd;
  close(fd);
  return -1;
}

// The alignment of a /dev/dax device, which has 2 MiB unless somebody wished otherwise; a page for all that is not one.
size_t unit_of(int image) {
  struct stat status;
  if (fstat(image, &status) != 0 || !S_ISCHR(status.st_mode)) return kPage;
  char name[96];
  snprintf(name, sizeof name, "/sys/dev/char/%u:%u/align", major(status.st_rdev), minor(status.st_rdev));
  FILE* attribute = fopen(name, "re");
  if (attribute == nullptr) return kHuge;
  size_t unit;
  if (fscanf(attribute, "%zu", &unit) != 1 || unit < kPage) unit = kHuge;
  fclose(attribute);
  return unit;
}

// From now on this open file reads and writes past the page cache, and has the lease. False: others have the file cached.
bool take_lease(const File& file, uint64_t start) {
  const int flags = fcntl(file.fd, F_GETFL);
  if (flags < 0 || fcntl(file.fd, F_SETFL, flags | O_DIRECT) != 0) return false;
  SmallRange range;
  const uint32_t wanted = kRangeLease | (file.writable ? kRangeWrite : 0);
  if (fsync(file.fd) == 0 && ask_range(file, start, kPage, wanted, range) == 0) {
    posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
    return true;
  }
  fcntl(file.fd, F_SETFL, flags);
  return false;
}

}  // namespace

File* open_file(int fd, int access_mode, uint64_t start) {
  Identity identity;
  memset(&identity, 0, sizeof identity);
  struct stat status;
  if (ioctl(fd, kIoctlIdentity, &identity) != 0 || identity.version != kIdentityVersion || fstat(fd, &status) != 0) return nullptr;
  const bool in_image = identity.placement != kPlacementRegion;
  bool writable = access_mode == O_RDWR;
  int image = in_image ? open_image(identity, writable) : -1;
  if (in_image && image < 0 && writable) image = open_image(identity, writable = false);
  if (in_image && image < 0) return nullptr;
  File* file = static_cast<File*>(malloc(sizeof(File)));
  const int copy = file == nullptr ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy >= 0) {
    *file = {copy, image, 1, identity.domain, (identity.flags & kIdentityDeclared) != 0, writable, status.st_dev, status.st_ino, unit_of(image), nullptr};
    if (!in_image) return file;
    if (take_lease(*file, start)) {
      void* pin = raw_mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE, copy, 0);
      file->pin = pin == MAP_FAILED ? nullptr : pin;
      return file;
    }
    close(copy);
  }
  free(file);
  if (image >= 0) close(image);
  return nullptr;
}

void reference(File* file) { file->references++; }

void release(File* file) {
  if (--file->references > 0) return;
  if (file->pin != nullptr) raw_munmap(file->pin, kPage);
  close(file->fd);
  if (file->image >= 0) close(file->image);
  free(file);
}

template <unsigned N>
int ask_range(const File& file, uint64_t offset, uint64_t length, uint32_t flags, Range<N>& range) {
  memset(range.header, 0, sizeof range.header);
  range.request = {offset, length, flags};
  int result;
  do result = ioctl(file.fd, ioctl_range<N>(), &range);
  while (result != 0 && errno == EINTR);
  if (result != 0) return -1;
  if (range.answer.file_ino == file.ino && range.answer.count <= N) return 0;
  errno = ESTALE;
  return -1;
}

template int ask_range<480>(const File&, uint64_t, uint64_t, uint32_t, LargeRange&);
template int ask_range<16>(const File&, uint64_t, uint64_t, uint32_t, SmallRange&);

}  // namespace nvm
