// What makes stores to a mapped file durable (see DurabilityDomain in src/pmem/pmem.ts).
#pragma once

#include <sys/mman.h>

#include <cstdint>

// Older headers don't have them.
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

namespace nvmfs {

// Whether the first `length` bytes can be mapped with MAP_SYNC, for `protection` as in mmap(2).
bool is_synchronous(int fd, uint64_t length, int protection);
// Whether a regular file has no medium but memory.
bool lives_in_memory(int fd);

}  // namespace nvmfs
