// A sorted list of address ranges that do not touch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvm {

struct AddressRange {
  uintptr_t start;
  uintptr_t end;
};

struct Ranges {
  AddressRange* items = nullptr;
  size_t count = 0;
  size_t capacity = 0;
};

// Adds a range, joined with those it touches. False: no memory.
bool add(Ranges& ranges, uintptr_t start, uintptr_t end);
// Takes a range out. False: no memory (one may become two).
bool remove(Ranges& ranges, uintptr_t start, uintptr_t end);
// The first part of [from, end) that is in none; false if there is no such part.
bool next_gap(const Ranges& ranges, uintptr_t from, uintptr_t end, AddressRange& gap);
// The first part of [from, end) that is in one.
bool next_part(const Ranges& ranges, uintptr_t from, uintptr_t end, AddressRange& part);
bool contains(const Ranges& ranges, uintptr_t address);
void clear(Ranges& ranges);

}  // namespace nvm
