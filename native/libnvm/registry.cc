#include "registry.h"

#include <pthread.h>

#include <cstdlib>
#include <cstring>

namespace nvm {

namespace {

pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
Mapping* table = nullptr;
size_t count = 0;
size_t capacity = 0;

// Index of the first mapping that ends after an address.
size_t after(uintptr_t address) {
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (table[middle].end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

bool insert_at(size_t index, const Mapping& mapping) {
  if (count == capacity) {
    const size_t larger = capacity == 0 ? 16 : capacity * 2;
    void* moved = realloc(table, larger * sizeof(Mapping));
    if (moved == nullptr) return false;
    table = static_cast<Mapping*>(moved);
    capacity = larger;
  }
  memmove(table + index + 1, table + index, (count - index) * sizeof(Mapping));
  table[index] = mapping;
  count++;
  return true;
}

// Moves the part of `from` behind an address to `to`.
bool move_tail(Ranges& from, Ranges& to, uintptr_t address, uintptr_t end) {
  AddressRange part;
  for (uintptr_t next = address; next_part(from, next, end, part); next = part.end) {
    if (!add(to, part.start, part.end)) return false;
  }
  return remove(from, address, end);
}

}  // namespace

void lock() { pthread_mutex_lock(&mutex); }
void unlock() { pthread_mutex_unlock(&mutex); }
void reinitialise_lock() { mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; }

Mapping* find(uintptr_t address, uintptr_t end) {
  const size_t index = after(address);
  return index < count && table[index].start < end ? &table[index] : nullptr;
}

size_t mapping_count() { return count; }
Mapping* mapping(size_t index) { return &table[index]; }

bool insert(const Mapping& mapping) { return insert_at(after(mapping.start), mapping); }

bool split(uintptr_t address) {
  const size_t index = after(address);
  if (index == count || table[index].start >= address) return true;
  Mapping tail = table[index];
  tail.start = address;
  tail.offset += address - table[index].start;
  tail.placed = {};
  tail.dead = {};
  tail.attached = false;
  if (!move_tail(table[index].placed, tail.placed, address, tail.end) || !move_tail(table[index].dead, tail.dead, address, tail.end)) return false;
  if (!insert_at(index + 1, tail)) return false;
  table[index].end = address;
  if (tail.file != nullptr) reference(tail.file);
  return true;
}

bool forget(uintptr_t start, uintptr_t end) {
  if (!split(start) || !split(end)) return false;
  const size_t first = after(start);
  size_t last = first;
  for (; last < count && table[last].start < end; last++) {
    clear(table[last].placed);
    clear(table[last].dead);
    if (table[last].file != nullptr) release(table[last].file);
  }
  memmove(table + first, table + last, (count - last) * sizeof(Mapping));
  count -= last - first;
  return true;
}

}  // namespace nvm
