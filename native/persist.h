// Stores that go to the medium, cache-line flushes and fences, by CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvmfs {

constexpr size_t kLine = 64;

// All of these touch only [target, target + length). What they store is durable (on a medium without page cache)
// after the next store_fence(). An aligned 8-byte atom is always written by a single store instruction or as part of one.
void store_bytes(uint8_t* target, const uint8_t* source, size_t length);
void store_zeros(uint8_t* target, size_t length);
// Writes back the cache lines of a range that others have stored to.
void flush_range(const uint8_t* address, size_t length);
void store_fence();

// 64-byte lines in which two 4096-byte blocks differ: bit i for line i.
uint64_t differing_lines(const uint8_t* a, const uint8_t* b);

// Uses only what every CPU of this architecture has (true), or the best of this CPU (false, the default). For tests.
void select_baseline_persist(bool baseline);

// Names of what is in use, for `info` commands: "clwb", "avx" ...
const char* flush_instruction();
const char* copy_instruction();

}  // namespace nvmfs
