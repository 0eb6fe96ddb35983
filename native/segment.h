// Shared memory that outlives a process: a sparse memfd, mapped piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>

#include "error.h"

namespace nvmfs {

// A new memfd of `size` bytes that costs memory only where it is written; close-on-exec. -1 with `error` set.
int create_segment(uint64_t size, SystemError& error);

// Maps [offset, offset + length) for reading and writing. Null with `error` set.
void* map_segment(int fd, uint64_t offset, size_t length, SystemError& error);

// The first offset >= `from` that holds data, -1 if there is none or with `error` set.
int64_t next_segment_data(int fd, uint64_t from, SystemError& error);

// Gives the memory of a range back: it reads as zero bytes afterwards.
bool punch_segment(int fd, uint64_t offset, uint64_t length, SystemError& error);

}  // namespace nvmfs
