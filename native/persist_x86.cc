// Line operations of x86-64: SSE2 and clflush everywhere, AVX/AVX2, clflushopt and clwb where the CPU has them.
#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include "persist.h"
#include "persist_lines.h"

namespace nvmfs {

namespace {

// One page after the other keeps one channel of the memory busy at a time. Large ranges are stored to so many pages side by
// side, a line of each in turn: nearly twice as fast (doc/BENCHMARKS.md). Until the fence, lines have no order anyway.
constexpr size_t kPage = 4096;
constexpr size_t kPagesSideBySide = 8;
constexpr size_t kLinesSideBySide = kPagesSideBySide * kPage / kLine;

inline void copy_line_sse2(uint8_t* target, const uint8_t* source) {
  const __m128i* from = reinterpret_cast<const __m128i*>(source);
  __m128i* to = reinterpret_cast<__m128i*>(target);
  const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
  const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
  _mm_stream_si128(to, a);
  _mm_stream_si128(to + 1, b);
  _mm_stream_si128(to + 2, c);
  _mm_stream_si128(to + 3, d);
}

inline void zero_line_sse2(uint8_t* target) {
  const __m128i zero = _mm_setzero_si128();
  __m128i* to = reinterpret_cast<__m128i*>(target);
  for (int i = 0; i < 4; i++) _mm_stream_si128(to + i, zero);
}

__attribute__((target("avx"))) inline void copy_line_avx(uint8_t* target, const uint8_t* source) {
  const __m256i* from = reinterpret_cast<const __m256i*>(source);
  __m256i* to = reinterpret_cast<__m256i*>(target);
  const __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
  _mm256_stream_si256(to, a);
  _mm256_stream_si256(to + 1, b);
}

__attribute__((target("avx"))) inline void zero_line_avx(uint8_t* target) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i* to = reinterpret_cast<__m256i*>(target);
  _mm256_stream_si256(to, zero);
  _mm256_stream_si256(to + 1, zero);
}

void copy_sse2(uint8_t* target, const uint8_t* source, size_t count) {
  for (; count >= kLinesSideBySide; count -= kLinesSideBySide) {
    for (size_t at = 0; at < kPage; at += kLine) {
      for (size_t page = at; page < kPagesSideBySide * kPage; page += kPage) copy_line_sse2(target + page, source + page);
    }
    target += kPagesSideBySide * kPage;
    source += kPagesSideBySide * kPage;
  }
  for (; count > 0; count--, target += kLine, source += kLine) copy_line_sse2(target, source);
}

void zero_sse2(uint8_t* target, size_t count) {
  for (; count >= kLinesSideBySide; count -= kLinesSideBySide) {
    for (size_t at = 0; at < kPage; at += kLine) {
      for (size_t page = at; page < kPagesSideBySide * kPage; page += kPage) zero_line_sse2(target + page);
    }
    target += kPagesSideBySide * kPage;
  }
  for (; count > 0; count--, target += kLine) zero_line_sse2(target);
}

__attribute__((target("avx"))) void copy_avx(uint8_t* target, const uint8_t* source, size_t count) {
  for (; count >= kLinesSideBySide; count -= kLinesSideBySide) {
    for (size_t at = 0; at < kPage; at += kLine) {
      for (size_t page = at; page < kPagesSideBySide * kPage; page += kPage) copy_line_avx(target + page, source + page);
    }
    target += kPagesSideBySide * kPage;
    source += kPagesSideBySide * kPage;
  }
  for (; count > 0; count--, target += kLine, source += kLine) copy_line_avx(target, source);
  _mm256_zeroupper();
}

__attribute__((target("avx"))) void zero_avx(uint8_t* target, size_t count) {
  for (; count >= kLinesSideBySide; count -= kLinesSideBySide) {
    for (size_t at = 0; at < kPage; at += kLine) {
      for (size_t page = at; page < kPagesSideBySide * kPage; page += kPage) zero_line_avx(target + page);
    }
    target += kPagesSideBySide * kPage;
  }
  for (; count > 0; count--, target += kLine) zero_line_avx(target);
  _mm256_zeroupper();
}

void flush_clflush(const uint8_t* address, size_t count) {
  for (; count > 0; count--, address += kLine) _mm_clflush(address);
}

__attribute__((target("clflushopt"))) void flush_clflushopt(const uint8_t* address, size_t count) {
  for (; count > 0; count--, address += kLine) _mm_clflushopt(const_cast<uint8_t*>(address));
}

__attribute__((target("clwb"))) void flush_clwb(const uint8_t* address, size_t count) {
  for (; count > 0; count--, address += kLine) _mm_clwb(const_cast<uint8_t*>(address));
}

void fence_sfence() { _mm_sfence(); }

uint64_t difference_sse2(const uint8_t* a, const uint8_t* b) {
  uint64_t result = 0;
  for (unsigned line = 0; line < 64; line++, a += kLine, b += kLine) {
    const __m128i* x = reinterpret_cast<const __m128i*>(a);
    const __m128i* y = reinterpret_cast<const __m128i*>(b);
    __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128(x), _mm_loadu_si128(y));
    for (int i = 1; i < 4; i++) {
      equal = _mm_and_si128(equal, _mm_cmpeq_epi8(_mm_loadu_si128(x + i), _mm_loadu_si128(y + i)));
    }
    if (_mm_movemask_epi8(equal) != 0xffff) result |= uint64_t{1} << line;
  }
  return result;
}

__attribute__((target("avx2"))) uint64_t difference_avx2(const uint8_t* a, const uint8_t* b) {
  uint64_t result = 0;
  for (unsigned line = 0; line < 64; line++, a += kLine, b += kLine) {
    const __m256i* x = reinterpret_cast<const __m256i*>(a);
    const __m256i* y = reinterpret_cast<const __m256i*>(b);
    const __m256i low = _mm256_xor_si256(_mm256_loadu_si256(x), _mm256_loadu_si256(y));
    const __m256i high = _mm256_xor_si256(_mm256_loadu_si256(x + 1), _mm256_loadu_si256(y + 1));
    const __m256i either = _mm256_or_si256(low, high);
    result |= static_cast<uint64_t>(!_mm256_testz_si256(either, either)) << line;
  }
  _mm256_zeroupper();
  return result;
}

constexpr LineOperations kBaseline = {copy_sse2,    zero_sse2,       flush_clflush, fence_sfence,
                                      difference_sse2, "clflush", "sse2"};

LineOperations best_operations() {
  LineOperations best = kBaseline;
  if (__builtin_cpu_supports("avx")) {
    best.copy = copy_avx;
    best.zero = zero_avx;
    best.copy_name = "avx";
  }
  if (__builtin_cpu_supports("avx2")) best.difference = difference_avx2;
  // GCC 12 has no __builtin_cpu_supports for these two: CPUID leaf 7, EBX bits 23 and 24.
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    if ((ebx & (1u << 24)) != 0) {
      best.flush = flush_clwb;
      best.flush_name = "clwb";
    } else if ((ebx & (1u << 23)) != 0) {
      best.flush = flush_clflushopt;
      best.flush_name = "clflushopt";
    }
  }
  return best;
}

const LineOperations kBest = best_operations();
const LineOperations* selected = &kBest;

}  // namespace

const LineOperations& lines() { return *selected; }

void select_baseline_persist(bool baseline) { selected = baseline ? &kBaseline : &kBest; }

}  // namespace nvmfs

#endif
