// Operations on whole 64-byte lines, one implementation per CPU architecture and feature.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvmfs {

struct LineOperations {
  // Stores `count` lines (target 64-byte aligned, source not) and starts their write-back.
  void (*copy)(uint8_t* target, const uint8_t* source, size_t count);
  void (*zero)(uint8_t* target, size_t count);
  // Starts the write-back of `count` lines; the address may lie anywhere in the first.
  void (*flush)(const uint8_t* address, size_t count);
  // Orders and completes everything above.
  void (*fence)();
  // Bit i is set where line i of two 4096-byte blocks (no alignment) differs.
  uint64_t (*difference)(const uint8_t* a, const uint8_t* b);
  const char* flush_name;
  const char* copy_name;
};

// The table in use.
const LineOperations& lines();

}  // namespace nvmfs
