// The image: the file or device that holds a volume, locked and mapped in windows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "error.h"

namespace nvmfs {

// What makes a store durable (see DurabilityDomain in src/pmem/pmem.ts).
enum class Domain { kAutomatic, kSyncDax, kMemory, kFile };
enum class Lock { kNone, kShared, kExclusive };
enum class ImageKind { kRegular, kBlock, kDax };

struct OpenOptions {
  std::string path;
  // A descriptor of the image, from lock_descriptor() of this or another process; -1: the path is opened.
  int descriptor = -1;
  bool read_only = false;
  Lock lock = Lock::kExclusive;
  Domain domain = Domain::kAutomatic;
  // Create the file if it is missing; needs a size.
  bool create = false;
  // New size of a regular file in bytes (0: as it is); a device must be at least that large.
  uint64_t size = 0;
  // Bytes per window, a power of two of at least 64 KiB.
  uint64_t window_size = uint64_t{1} << 30;
  // Windows mapped at the same time; beyond, the least recently used is unmapped.
  uint32_t window_limit = 4096;
};

class Image {
 public:
  // Null, with `error` set, when the image can't be had.
  static std::unique_ptr<Image> open(const OpenOptions& options, SystemError& error);
  // Opens and locks the image and does nothing else: a descriptor, or -1 with `error` set. The lock belongs to the open
  // file: it lasts until this descriptor and all its copies, in whatever process, are closed.
  static int lock_descriptor(const OpenOptions& options, SystemError& error);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // Makes everything durable (fsync, too, for what is not a DAX device), unmaps and unlocks. False on failure of the
  // sync; the image is closed all the same.
  bool close(SystemError& error);

  bool is_open() const { return fd_ >= 0; }
  bool read_only() const { return read_only_; }
  uint64_t size() const { return size_; }
  Domain domain() const { return domain_; }
  ImageKind kind() const { return kind_; }
  bool map_sync() const { return map_sync_; }
  const std::string& path() const { return path_; }

  bool contains(uint64_t address, uint64_t length) const { return length <= size_ && address <= size_ - length; }

  // The mapping of the byte at `address` (< size) and how many bytes from there are contiguous in the mapping. Null
  // with errno set if the window can't be mapped. The pointer holds until window_limit - 1 other windows were used.
  uint8_t* at(uint64_t address, uint64_t* contiguous) {
    const uint32_t slot = slot_of_window_[address >> window_shift_];
    if (__builtin_expect(slot == 0, 0)) return map_window(address, contiguous);
    Window& window = windows_[slot - 1];
    window.last_use = ++clock_;
    const uint64_t offset = address & (window_size_ - 1);
    *contiguous = window.length - offset;
    return window.base + offset;
  }
  uint32_t window_limit() const { return window_limit_; }
  // Whether all windows fit at the same time, so that a pointer holds as long as the image is open.
  bool keeps_windows() const { return window_count_ == window_limit_; }

  // Remembers a range that the next fence must write back from the page cache (domain `file` only).
  void touched(uint64_t address, uint64_t length) {
    if (domain_ != Domain::kFile || length == 0) return;
    if (address < touched_begin_) touched_begin_ = address;
    if (address + length > touched_end_) touched_end_ = address + length;
  }

  // Everything stored so far is durable when this returns true. After a failure it fails for ever: nobody knows what
  // the kernel dropped from its page cache.
  bool fence(SystemError& error);

  // Makes sure that the host has space behind the range (see Pmem.back).
  bool back(uint64_t address, uint64_t length, SystemError& error);

 private:
  struct Window {
    uint8_t* base = nullptr;
    uint64_t length = 0;
    uint64_t index = 0;
    uint64_t last_use = 0;
  };

  Image() = default;
  bool open_descriptor(const OpenOptions& options, SystemError& error);
  bool adopt_descriptor(const OpenOptions& options, SystemError& error);
  bool take_lock(Lock lock, SystemError& error);
  bool find_size(const OpenOptions& options, SystemError& error);
  bool allocate_tables(SystemError& error);
  void detect_domain(Domain wanted);
  uint8_t* map_window(uint64_t address, uint64_t* contiguous);
  void unmap_least_recently_used();
  int allocate_range(uint64_t address, uint64_t length);

  std::string path_;
  int fd_ = -1;
  // The file behind a loop device, held for its lock: the volume can be had through both.
  int backing_fd_ = -1;
  bool read_only_ = false;
  bool created_ = false;
  bool map_sync_ = false;
  ImageKind kind_ = ImageKind::kRegular;
  Domain domain_ = Domain::kFile;
  uint64_t size_ = 0;

  uint64_t window_size_ = 0;
  unsigned window_shift_ = 0;
  uint32_t window_limit_ = 0;
  uint64_t window_count_ = 0;
  // Slot + 1 per window of the image, 0 = not mapped; anonymous memory that costs nothing until touched.
  uint32_t* slot_of_window_ = nullptr;
  std::vector<Window> windows_;
  std::vector<uint32_t> free_slots_;
  uint64_t clock_ = 0;

  // Hull of what was stored since the last fence; empty while begin > end.
  uint64_t touched_begin_ = UINT64_MAX;
  uint64_t touched_end_ = 0;
  int fence_errno_ = 0;

  // One bit per 2 MiB chunk that back() has allocated; null where nothing can or need be allocated.
  uint8_t* backed_ = nullptr;
  uint64_t backed_bytes_ = 0;
};

}  // namespace nvmfs
