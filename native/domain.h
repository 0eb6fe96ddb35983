// What makes stores to a mapped file durable (see DurabilityDomain in src/pmem/pmem.ts).
#pragma once

#include <cstdint>

#include "map_flags.h"

namespace nvmfs {

// Whether the first `length` bytes can be mapped with MAP_SYNC, for `protection` as in mmap(2).
bool is_synchronous(int fd, uint64_t length, int protection);
// Whether a regular file has no medium but memory.
bool lives_in_memory(int fd);

}  // namespace nvmfs
