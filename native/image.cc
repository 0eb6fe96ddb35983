#include "image.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "domain.h"
#include "fault.h"
#include "loop.h"
#include "persist.h"

namespace nvmfs {

namespace {

constexpr uint64_t kBlock = 4096;

// Anonymous zeroed memory that is only paid for where it is touched.
void* reserve(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

// Size of a /dev/dax character device; false if the device is of another kind.
bool dax_device_size(dev_t device, uint64_t* size) {
  char name[96];
  char target[PATH_MAX];
  snprintf(name, sizeof name, "/sys/dev/char/%u:%u/subsystem", major(device), minor(device));
  const ssize_t length = readlink(name, target, sizeof target - 1);
  if (length <= 0) return false;
  target[length] = '\0';
  const char* base = strrchr(target, '/');
  if (base == nullptr || strcmp(base, "/dax") != 0) return false;
  snprintf(name, sizeof name, "/sys/dev/char/%u:%u/size", major(device), minor(device));
  FILE* file = fopen(name, "re");
  if (file == nullptr) return false;
  unsigned long long value = 0;
  const bool found = fscanf(file, "%llu", &value) == 1;
  fclose(file);
  *size = value;
  return found;
}

}  // namespace

std::unique_ptr<Image> Image::open(const OpenOptions& options, SystemError& error) {
  install_fault_handler();
  std::unique_ptr<Image> image(new Image());
  image->path_ = options.path;
  image->read_only_ = options.read_only;
  image->window_size_ = options.window_size;
  image->window_shift_ = static_cast<unsigned>(__builtin_ctzll(options.window_size));
  image->window_limit_ = options.window_limit;
  const bool adopted = options.descriptor >= 0;
  if (!(adopted ? image->adopt_descriptor(options, error) : image->open_descriptor(options, error))) return nullptr;
  const bool usable = (adopted || image->take_lock(options.lock, error)) && image->find_size(options, error) &&
                      image->allocate_tables(error);
  if (!usable) {
    // What this call created and could not finish is nobody's.
    if (image->created_) unlink(options.path.c_str());
    return nullptr;
  }
  image->detect_domain(options.domain);
  return image;
}

int Image::lock_descriptor(const OpenOptions& options, SystemError& error) {
  Image image;
  image.path_ = options.path;
  image.read_only_ = true;  // there is nothing to write back
  if (!image.open_descriptor(options, error) || !image.take_lock(options.lock, error)) return -1;
  const int fd = image.fd_;
  image.fd_ = -1;
  // The file behind a loop device stays locked as long as this process lives: that is as long as the mount.
  image.backing_fd_ = -1;
  return fd;
}

Image::~Image() {
  SystemError ignored;  // close() was not called: the process ends or the opening failed; there is nobody to tell
  close(ignored);
}

bool Image::open_descriptor(const OpenOptions& options, SystemError& error) {
  const char* path = options.path.c_str();
  struct stat status;
  const bool exists = stat(path, &status) == 0;
  if (!exists && (errno != ENOENT || !options.create)) {
    error = system_error(errno, "cannot open " + options.path);
    return false;
  }
  if (exists && S_ISDIR(status.st_mode)) {
    error = {EISDIR, "cannot open " + options.path + ": it is a directory"};
    return false;
  }
  if (exists && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode) &&
      !(S_ISCHR(status.st_mode) && dax_device_size(status.st_rdev, &size_))) {
    error = {EINVAL, "cannot open " + options.path + ": neither a regular file nor a block device nor a DAX device"};
    return false;
  }
  if (exists) kind_ = S_ISREG(status.st_mode)   ? ImageKind::kRegular
                      : S_ISBLK(status.st_mode) ? ImageKind::kBlock
                                                : ImageKind::kDax;
  int flags = (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  if (kind_ == ImageKind::kBlock && options.lock == Lock::kExclusive) flags |= O_EXCL;  // refused while it is mounted
  if (!exists) flags |= O_CREAT | O_EXCL;
  fd_ = ::open(path, flags, 0600);
  if (fd_ < 0) {
    error = errno == EBUSY ? SystemError{EBUSY, options.path + " is in use by another process"}
                           : system_error(errno, "cannot open " + options.path);
    return false;
  }
  created_ = !exists;
  // The kernel lets a read-only device be opened for writing, and refuses to map it with an errno that says nothing.
  int device_read_only = 0;
  if (kind_ == ImageKind::kBlock && !options.read_only && ioctl(fd_, BLKROGET, &device_read_only) == 0 &&
      device_read_only != 0) {
    error = {EROFS, options.path + " is a read-only device: its volume can only be mounted with -o ro"};
    return false;
  }
  return true;
}

// A copy of its own: closing it leaves the lock to the others.
bool Image::adopt_descriptor(const OpenOptions& options, SystemError& error) {
  struct stat status;
  fd_ = fcntl(options.descriptor, F_DUPFD_CLOEXEC, 3);
  if (fd_ < 0 || fstat(fd_, &status) != 0) {
    error = system_error(errno, "cannot use the inherited descriptor of " + options.path);
    return false;
  }
  kind_ = S_ISREG(status.st_mode)   ? ImageKind::kRegular
          : S_ISBLK(status.st_mode) ? ImageKind::kBlock
                                    : ImageKind::kDax;
  if (kind_ != ImageKind::kDax || dax_device_size(status.st_rdev, &size_)) return true;
  error = {EINVAL, "cannot open " + options.path + ": neither a regular file nor a block device nor a DAX device"};
  return false;
}

bool Image::take_lock(Lock lock, SystemError& error) {
  if (lock == Lock::kNone) return true;
  const int operation = (lock == Lock::kExclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (kind_ == ImageKind::kBlock) backing_fd_ = open_backing_file(fd_);
  const bool locked = flock(fd_, operation) == 0 && (backing_fd_ < 0 || flock(backing_fd_, operation) == 0);
  if (locked) return true;
  error = errno == EWOULDBLOCK ? SystemError{EBUSY, path_ + " is in use by another process"}
                               : system_error(errno, "cannot lock " + path_);
  return false;
}

bool Image::find_size(const OpenOptions& options, SystemError& error) {
  if (kind_ == ImageKind::kRegular) {
    struct stat status;
    if (options.size != 0 && ftruncate(fd_, static_cast<off_t>(options.size)) != 0) {
      error = system_error(errno, "cannot set the size of " + path_ + " to " + std::to_string(options.size) + " bytes");
      return false;
    }
    if (fstat(fd_, &status) != 0) {
      error = system_error(errno, "cannot stat " + path_);
      return false;
    }
    size_ = static_cast<uint64_t>(status.st_size);
  } else if (kind_ == ImageKind::kBlock && ioctl(fd_, BLKGETSIZE64, &size_) != 0) {
    error = system_error(errno, "cannot get the size of " + path_);
    return false;
  }
  if (options.size > size_) {
    error = {ENOSPC, path_ + " has only " + std::to_string(size_) + " bytes, not " + std::to_string(options.size)};
    return false;
  }
  if (options.size != 0) size_ = options.size;
  size_ -= size_ % kBlock;
  if (size_ == 0) {
    error = {EINVAL, path_ + " has no room for a volume: it is smaller than 4096 bytes"};
    return false;
  }
  if (size_ > uint64_t{1} << 53) {
    error = {EFBIG, path_ + " is larger than 8 PiB"};
    return false;
  }
  return true;
}

bool Image::allocate_tables(SystemError& error) {
  window_count_ = (size_ + window_size_ - 1) >> window_shift_;
  if (window_count_ < window_limit_) window_limit_ = static_cast<uint32_t>(window_count_);
  slot_of_window_ = static_cast<uint32_t*>(reserve(window_count_ * sizeof(uint32_t)));
  windows_.resize(window_limit_);
  for (uint32_t slot = window_limit_; slot > 0; slot--) free_slots_.push_back(slot - 1);
  if (kind_ == ImageKind::kRegular && !read_only_) {
    backed_bytes_ = ((size_ >> 21) + 8) / 8;
    backed_ = static_cast<uint8_t*>(reserve(backed_bytes_));
  }
  if (slot_of_window_ != nullptr && (backed_bytes_ == 0 || backed_ != nullptr)) return true;
  error = system_error(ENOMEM, "cannot map " + path_);
  return false;
}

void Image::detect_domain(Domain wanted) {
  const uint64_t length = size_ < window_size_ ? size_ : window_size_;
  const int protection = read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  const bool synchronous = is_synchronous(fd_, length, protection);
  domain_ = wanted != Domain::kAutomatic ? wanted
            : synchronous ? Domain::kSyncDax
            : kind_ == ImageKind::kRegular && lives_in_memory(fd_) ? Domain::kMemory  // a device node is on devtmpfs
                                         : Domain::kFile;
  map_sync_ = synchronous && domain_ == Domain::kSyncDax;
}

uint8_t* Image::map_window(uint64_t address, uint64_t* contiguous) {
  const uint64_t index = address >> window_shift_;
  const uint64_t start = index << window_shift_;
  const uint64_t length = size_ - start < window_size_ ? size_ - start : window_size_;
  const int protection = read_only_ ? PROT_READ : PROT_READ | PROT_WRITE;
  const int flags = map_sync_ ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
  if (free_slots_.empty()) unmap_least_recently_used();
  void* base = mmap(nullptr, length, protection, flags, fd_, static_cast<off_t>(start));
  // Fewer windows than the limit fit where address space is small (39 bits on some aarch64 kernels).
  while (base == MAP_FAILED && errno == ENOMEM && free_slots_.size() < windows_.size()) {
    unmap_least_recently_used();
    base = mmap(nullptr, length, protection, flags, fd_, static_cast<off_t>(start));
  }
  if (base == MAP_FAILED) return nullptr;
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  windows_[slot] = {static_cast<uint8_t*>(base), length, index, ++clock_};
  slot_of_window_[index] = slot + 1;
  const uint64_t offset = address - start;
  *contiguous = length - offset;
  return windows_[slot].base + offset;
}

void Image::unmap_least_recently_used() {
  uint32_t oldest = UINT32_MAX;
  for (uint32_t slot = 0; slot < windows_.size(); slot++) {
    if (windows_[slot].base == nullptr) continue;
    if (oldest == UINT32_MAX || windows_[slot].last_use < windows_[oldest].last_use) oldest = slot;
  }
  Window& window = windows_[oldest];
  // Stores through this mapping stay in the page cache (domain file) or were flushed by cache line; order is kept
  // by the fence of munmap's own system call.
  munmap(window.base, window.length);
  slot_of_window_[window.index] = 0;
  window = Window();
  free_slots_.push_back(oldest);
}

bool Image::fence(SystemError& error) {
  // In the file domain, too: non-temporal stores must have left the CPU before the kernel reads the pages.
  store_fence();
  if (fence_errno_ == 0) {
    if (touched_begin_ >= touched_end_) return true;
    const uint64_t begin = touched_begin_ & ~(kBlock - 1);
    const uint64_t length = touched_end_ - begin;
    const uint32_t slot = slot_of_window_[begin >> window_shift_];
    const bool one_window = begin >> window_shift_ == (touched_end_ - 1) >> window_shift_;
    const int result = slot != 0 && one_window
                           ? msync(windows_[slot - 1].base + (begin & (window_size_ - 1)), length, MS_SYNC)
                           : fdatasync(fd_);
    if (result != 0) fence_errno_ = errno;
    touched_begin_ = UINT64_MAX;
    touched_end_ = 0;
  }
  if (fence_errno_ == 0) return true;
  error = {EIO, "writing back " + path_ + " failed (" + strerror(fence_errno_) +
                    "): nothing stored since the last successful fence is known to be durable"};
  return false;
}

// 0 or an errno. Host filesystems without fallocate have nothing to offer: stores will allocate.
int Image::allocate_range(uint64_t address, uint64_t length) {
  int result;
  do {
    result = fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(address), static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return 0;
  return errno;
}

bool Image::back(uint64_t address, uint64_t length, SystemError& error) {
  if (backed_ == nullptr || length == 0) return true;
  constexpr unsigned kChunkShift = 21;
  const uint64_t end = address + length;
  for (uint64_t chunk = address >> kChunkShift; chunk <= (end - 1) >> kChunkShift; chunk++) {
    uint8_t& byte = backed_[chunk >> 3];
    const uint8_t bit = static_cast<uint8_t>(1u << (chunk & 7));
    if ((byte & bit) != 0) continue;
    const uint64_t chunk_begin = chunk << kChunkShift;
    const uint64_t chunk_end = chunk_begin + (uint64_t{1} << kChunkShift) < size_
                                   ? chunk_begin + (uint64_t{1} << kChunkShift)
                                   : size_;
    int result = allocate_range(chunk_begin, chunk_end - chunk_begin);
    if (result == 0) {
      byte |= bit;
      continue;
    }
    // The chunk may be too much for a nearly full host where what was asked for is not.
    const uint64_t begin = address > chunk_begin ? address : chunk_begin;
    result = allocate_range(begin, (end < chunk_end ? end : chunk_end) - begin);
    if (result == 0) continue;
    if (result == EDQUOT) result = ENOSPC;
    error = system_error(result, "the host has no space for " + std::to_string(length) + " bytes at address " +
                                     std::to_string(address) + " of " + path_);
    return false;
  }
  return true;
}

bool Image::close(SystemError& error) {
  bool synced = true;
  if (fd_ >= 0 && !read_only_ && slot_of_window_ != nullptr) {
    synced = fence(error);
    if (kind_ != ImageKind::kDax && fsync(fd_) != 0 && synced) {
      error = system_error(errno, "cannot sync " + path_);
      synced = false;
    }
  }
  for (const Window& window : windows_) {
    if (window.base != nullptr) munmap(window.base, window.length);
  }
  windows_.clear();
  if (slot_of_window_ != nullptr) munmap(slot_of_window_, window_count_ * sizeof(uint32_t));
  if (backed_ != nullptr) munmap(backed_, backed_bytes_);
  slot_of_window_ = nullptr;
  backed_ = nullptr;
  if (backing_fd_ >= 0) ::close(backing_fd_);
  backing_fd_ = -1;
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  return synced;
}

}  // namespace nvmfs
