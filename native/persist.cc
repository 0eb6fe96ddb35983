#include "persist.h"

#include <cstring>

#include "persist_lines.h"

namespace nvmfs {

namespace {

// The unit in which the medium is never torn.
using Atom = uint64_t __attribute__((may_alias));

uintptr_t offset_in_line(const uint8_t* address) { return reinterpret_cast<uintptr_t>(address) % kLine; }

// Ordinary stores of less than a line, in whole atoms where the target is aligned: memcpy promises nothing about
// how it cuts its stores.
void store_edge(uint8_t* target, const uint8_t* source, size_t length) {
  while (length > 0 && reinterpret_cast<uintptr_t>(target) % 8 != 0) {
    *static_cast<volatile uint8_t*>(target++) = *source++;
    length--;
  }
  for (; length >= 8; target += 8, source += 8, length -= 8) {
    Atom atom;
    memcpy(&atom, source, 8);
    *reinterpret_cast<volatile Atom*>(target) = atom;
  }
  while (length > 0) {
    *static_cast<volatile uint8_t*>(target++) = *source++;
    length--;
  }
}

constexpr uint8_t kZeros[kLine] = {};

}  // namespace

void store_bytes(uint8_t* target, const uint8_t* source, size_t length) {
  const size_t misalignment = offset_in_line(target);
  if (misalignment != 0 && length > 0) {
    const size_t edge = length < kLine - misalignment ? length : kLine - misalignment;
    store_edge(target, source, edge);
    lines().flush(target, 1);
    target += edge;
    source += edge;
    length -= edge;
  }
  const size_t whole = length / kLine;
  lines().copy(target, source, whole);
  target += whole * kLine;
  source += whole * kLine;
  length -= whole * kLine;
  if (length > 0) {
    store_edge(target, source, length);
    lines().flush(target, 1);
  }
}

void store_zeros(uint8_t* target, size_t length) {
  const size_t misalignment = offset_in_line(target);
  if (misalignment != 0 && length > 0) {
    const size_t edge = length < kLine - misalignment ? length : kLine - misalignment;
    store_edge(target, kZeros, edge);
    lines().flush(target, 1);
    target += edge;
    length -= edge;
  }
  const size_t whole = length / kLine;
  lines().zero(target, whole);
  target += whole * kLine;
  length -= whole * kLine;
  if (length > 0) {
    store_edge(target, kZeros, length);
    lines().flush(target, 1);
  }
}

void flush_range(const uint8_t* address, size_t length) {
  if (length == 0) return;
  const size_t misalignment = offset_in_line(address);
  lines().flush(address - misalignment, (misalignment + length + kLine - 1) / kLine);
}

void store_fence() { lines().fence(); }

uint64_t differing_lines(const uint8_t* a, const uint8_t* b) { return lines().difference(a, b); }

const char* flush_instruction() { return lines().flush_name; }
const char* copy_instruction() { return lines().copy_name; }

}  // namespace nvmfs
