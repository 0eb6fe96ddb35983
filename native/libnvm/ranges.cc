#include "ranges.h"

#include <cstdlib>
#include <cstring>

namespace nvm {

namespace {

// The first range that ends after an address.
size_t after(const Ranges& ranges, uintptr_t address) {
  size_t low = 0, high = ranges.count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (ranges.items[middle].end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Puts `count` ranges in place of items [first, last).
bool replace(Ranges& ranges, size_t first, size_t last, const AddressRange* with, size_t count) {
  const size_t total = ranges.count - (last - first) + count;
  if (total > ranges.capacity) {
    const size_t capacity = ranges.capacity * 2 > total ? ranges.capacity * 2 : total + 4;
    void* items = realloc(ranges.items, capacity * sizeof(AddressRange));
    if (items == nullptr) return false;
    ranges.items = static_cast<AddressRange*>(items);
    ranges.capacity = capacity;
  }
  if (ranges.count > last) memmove(ranges.items + first + count, ranges.items + last, (ranges.count - last) * sizeof(AddressRange));
  for (size_t i = 0; i < count; i++) ranges.items[first + i] = with[i];
  ranges.count = total;
  return true;
}

}  // namespace

bool add(Ranges& ranges, uintptr_t start, uintptr_t end) {
  size_t first = after(ranges, start);
  if (first > 0 && ranges.items[first - 1].end == start) first--;
  AddressRange joined = {start, end};
  size_t last = first;
  for (; last < ranges.count && ranges.items[last].start <= end; last++) {
    if (ranges.items[last].start < joined.start) joined.start = ranges.items[last].start;
    if (ranges.items[last].end > joined.end) joined.end = ranges.items[last].end;
  }
  return replace(ranges, first, last, &joined, 1);
}

bool remove(Ranges& ranges, uintptr_t start, uintptr_t end) {
  const size_t first = after(ranges, start);
  size_t last = first, count = 0;
  AddressRange left[2];
  for (; last < ranges.count && ranges.items[last].start < end; last++) {
    const AddressRange item = ranges.items[last];
    if (item.start < start) left[count++] = {item.start, start};
    if (item.end > end) left[count++] = {end, item.end};
  }
  return replace(ranges, first, last, left, count);
}

bool next_gap(const Ranges& ranges, uintptr_t from, uintptr_t end, AddressRange& gap) {
  size_t index = after(ranges, from);
  if (index < ranges.count && ranges.items[index].start <= from) from = ranges.items[index++].end;
  if (from >= end) return false;
  const uintptr_t next = index < ranges.count ? ranges.items[index].start : end;
  gap = {from, next < end ? next : end};
  return true;
}

bool next_part(const Ranges& ranges, uintptr_t from, uintptr_t end, AddressRange& part) {
  const size_t index = after(ranges, from);
  if (from >= end || index >= ranges.count || ranges.items[index].start >= end) return false;
  const AddressRange& item = ranges.items[index];
  part = {item.start > from ? item.start : from, item.end < end ? item.end : end};
  return true;
}

bool contains(const Ranges& ranges, uintptr_t address) {
  const size_t index = after(ranges, address);
  return index < ranges.count && ranges.items[index].start <= address;
}

void clear(Ranges& ranges) {
  free(ranges.items);
  ranges = {};
}

}  // namespace nvm
