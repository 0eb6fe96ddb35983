// What libnvm asks the server, by ioctl(2) on an open file of the volume. src/fuse/ioctls.ts has the same.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace nvm {

constexpr uint32_t kIdentityVersion = 1;
constexpr uint32_t kIdentityDeclared = 1;

enum Domain : uint32_t { kDomainFile = 0, kDomainMemory = 1, kDomainSyncDax = 2 };
enum Placement : uint32_t { kPlacementImage = 0, kPlacementRegion = 1 };

// Where the medium is that the file lies on.
struct Identity {
  uint32_t version;
  uint32_t flags;
  // Of the image, or of the host file that is the region.
  uint32_t domain;
  uint32_t placement;
  // Of the image, as stat(2) has them.
  uint64_t device;
  uint64_t inode;
  uint64_t file_ino;
  uint64_t reserved[3];
  char path[4096];
};
static_assert(sizeof(Identity) == 4160, "as in src/fuse/ioctls.ts");

constexpr uint32_t kRangeFill = 1;
constexpr uint32_t kRangeLease = 2;
constexpr uint32_t kRangeWrite = 4;

struct RangeRequest {
  uint64_t offset;
  uint64_t length;
  uint32_t flags;
};

struct RangeAnswer {
  // The extents describe the file up to here.
  uint64_t reached;
  uint64_t file_size;
  uint32_t count;
  uint32_t unused;
  uint64_t file_ino;
};

struct Extent {
  uint64_t offset;
  uint64_t address;
  uint64_t length;
};

template <unsigned N>
struct Range {
  union {
    RangeRequest request;
    RangeAnswer answer;
    uint8_t header[64];
  };
  Extent extents[N];
};

// As many as an ioctl has room for; and a few, which a fault needs.
using LargeRange = Range<480>;
using SmallRange = Range<16>;

constexpr unsigned long kIoctlIdentity = _IOR('N', 0x40, Identity);
template <unsigned N>
constexpr unsigned long ioctl_range() {
  return _IOWR('N', 0x41, Range<N>);
}

}  // namespace nvm
