// Fetching of bytes into the processor's cache before the kernel copies them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvmfs {

// Asks for the cache lines of a range, of several pages side by side: the channels of the memory deliver in parallel then, and
// a copy that goes through the pages one after the other does not wait for each. Never faults, whatever is mapped there.
inline void prefetch(const uint8_t* data, size_t length) {
  constexpr size_t kCacheLine = 64, kPage = 4096, kPagesSideBySide = 8;
  constexpr size_t kStep = kPagesSideBySide * kPage;
  for (; length >= kStep; data += kStep, length -= kStep) {
    for (size_t at = 0; at < kPage; at += kCacheLine) {
      for (size_t page = at; page < kStep; page += kPage) __builtin_prefetch(data + page, 0, 2);
    }
  }
}

}  // namespace nvmfs
