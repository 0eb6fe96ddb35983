// All mappings that this library made, by address, and the one lock over everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "file.h"
#include "ranges.h"

namespace nvm {

struct Mapping {
  uintptr_t start;
  uintptr_t end;
  // Of the file, at `start`.
  uint64_t offset;
  int prot;
  // Null: the kernel maps it through the page cache. If it is not direct, the kernel maps the region.
  File* file;
  // What is mapped from the image. The rest of a direct mapping is holes: anonymous memory whose first touch the fault thread answers.
  Ranges placed;
  // Parts that give SIGBUS: past the end of the file, or no space.
  Ranges dead;
  // It is the start of what nvm_attach mapped.
  bool attached;
};

inline bool is_direct(const Mapping& mapping) { return mapping.file != nullptr && is_direct(*mapping.file); }

// Recursive, and held over fork(2).
void lock();
void unlock();
// After fork(2) in the child, whose only thread it is.
void reinitialise_lock();

struct Guard {
  Guard() { lock(); }
  ~Guard() { unlock(); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
};

// All of the following need the lock. Pointers are valid until the next insert or forget.

// The mapping that has this address, or the first one behind it that starts before `end`; null if there is none.
Mapping* find(uintptr_t address, uintptr_t end);
// In address order.
size_t mapping_count();
Mapping* mapping(size_t index);
// Takes over the mapping; nothing may be known there. False: no memory.
bool insert(const Mapping& mapping);
// Forgets what is known of a range, splitting mappings; releases files. The addresses themselves are the caller's business. False: no memory, nothing is changed.
bool forget(uintptr_t start, uintptr_t end);
// Splits the mapping that has this address inside, so that one begins there. False: no memory.
bool split(uintptr_t address);

}  // namespace nvm
