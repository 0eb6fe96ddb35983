// Line operations of aarch64: ordinary stores, then clean by address to the point of persistence where the CPU has
// one (dc cvap), else to the point of coherency (dc cvac; dc civac in the baseline).
#if defined(__aarch64__)

#include <sys/auxv.h>

#include <cstring>

#include "persist.h"
#include "persist_lines.h"

#ifndef HWCAP_DCPOP
#define HWCAP_DCPOP (1 << 16)
#endif

namespace nvmfs {

namespace {

// Smallest data cache line of the system in bytes; it may be smaller than the 64-byte line of our own bookkeeping.
size_t hardware_line() {
  uint64_t ctr;
  asm("mrs %0, ctr_el0" : "=r"(ctr));
  const size_t line = size_t{4} << ((ctr >> 16) & 15);
  return line < kLine ? line : kLine;
}

const size_t kHardwareLine = hardware_line();

// The address may lie anywhere in the first line: align it, or a smaller hardware line in front would be left out.
const uint8_t* line_start(const uint8_t* address) {
  return reinterpret_cast<const uint8_t*>(reinterpret_cast<uintptr_t>(address) & ~uintptr_t{kLine - 1});
}

void flush_cvap(const uint8_t* address, size_t count) {
  const uint8_t* end = line_start(address) + count * kLine;
  // "dc cvap" as a generic system instruction: older assemblers do not know the name.
  for (const uint8_t* at = line_start(address); at < end; at += kHardwareLine) {
    asm volatile("sys #3, c7, c12, #1, %0" ::"r"(at) : "memory");
  }
}

void flush_cvac(const uint8_t* address, size_t count) {
  const uint8_t* end = line_start(address) + count * kLine;
  for (const uint8_t* at = line_start(address); at < end; at += kHardwareLine) {
    asm volatile("dc cvac, %0" ::"r"(at) : "memory");
  }
}

void flush_civac(const uint8_t* address, size_t count) {
  const uint8_t* end = line_start(address) + count * kLine;
  for (const uint8_t* at = line_start(address); at < end; at += kHardwareLine) {
    asm volatile("dc civac, %0" ::"r"(at) : "memory");
  }
}

template <void (*flush)(const uint8_t*, size_t)>
void copy_and_flush(uint8_t* target, const uint8_t* source, size_t count) {
  memcpy(target, source, count * kLine);
  flush(target, count);
}

template <void (*flush)(const uint8_t*, size_t)>
void zero_and_flush(uint8_t* target, size_t count) {
  // Not memset: it may use dc zva, which is fine for memory but is not a store of atoms on every medium.
  volatile uint64_t* at = reinterpret_cast<volatile uint64_t*>(target);
  for (size_t i = 0; i < count * (kLine / 8); i++) at[i] = 0;
  flush(target, count);
}

void fence_dsb() { asm volatile("dsb sy" ::: "memory"); }

uint64_t difference_words(const uint8_t* a, const uint8_t* b) {
  uint64_t result = 0;
  for (unsigned line = 0; line < 64; line++, a += kLine, b += kLine) {
    if (memcmp(a, b, kLine) != 0) result |= uint64_t{1} << line;
  }
  return result;
}

template <void (*flush)(const uint8_t*, size_t)>
constexpr LineOperations operations(const char* name) {
  return {copy_and_flush<flush>, zero_and_flush<flush>, flush, fence_dsb, difference_words, name, "memcpy"};
}

const LineOperations kBaseline = operations<flush_civac>("dc civac");
const LineOperations kBest = (getauxval(AT_HWCAP) & HWCAP_DCPOP) != 0 ? operations<flush_cvap>("dc cvap")
                                                                      : operations<flush_cvac>("dc cvac");
const LineOperations* selected = &kBest;

}  // namespace

const LineOperations& lines() { return *selected; }

void select_baseline_persist(bool baseline) { selected = baseline ? &kBaseline : &kBest; }

}  // namespace nvmfs

#endif

#if !defined(__aarch64__) && !defined(__x86_64__)
#error "no line operations for this architecture: write a persist_ARCH.cc"
#endif
