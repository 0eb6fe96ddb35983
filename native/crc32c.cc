#include "crc32c.h"

#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define NVMFS_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#define NVMFS_CRC_TARGET
#endif

namespace nvmfs {

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected
// The CRC instruction has a latency of three cycles and a throughput of one: three independent streams keep it busy.
// A 4 KiB block is one long round (3 x 1360) and 16 bytes.
constexpr size_t kLongStream = 1360;
constexpr size_t kShortStream = 168;

// Advances a CRC over a fixed number of zero bytes, by table: that is what joins two streams.
struct ZeroShift {
  uint32_t table[4][256];

  uint32_t operator()(uint32_t crc) const {
    return table[0][crc & 255] ^ table[1][(crc >> 8) & 255] ^ table[2][(crc >> 16) & 255] ^ table[3][crc >> 24];
  }
};

struct Tables {
  uint32_t slice[8][256];
  ZeroShift long_shift;
  ZeroShift short_shift;

  Tables() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
      slice[0][i] = crc;
    }
    for (int n = 1; n < 8; n++) {
      for (uint32_t i = 0; i < 256; i++) slice[n][i] = (slice[n - 1][i] >> 8) ^ slice[0][slice[n - 1][i] & 255];
    }
    fill(long_shift, kLongStream);
    fill(short_shift, kShortStream);
  }

  // A shift over zeros is linear: the images of the 32 single bits give all of it.
  void fill(ZeroShift& shift, size_t zeros) const {
    uint32_t image[32];
    for (int bit = 0; bit < 32; bit++) {
      uint32_t crc = uint32_t{1} << bit;
      for (size_t i = 0; i < zeros; i++) crc = (crc >> 8) ^ slice[0][crc & 255];
      image[bit] = crc;
    }
    for (int byte = 0; byte < 4; byte++) {
      for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = 0;
        for (int bit = 0; bit < 8; bit++) {
          if ((value >> bit & 1) != 0) crc ^= image[byte * 8 + bit];
        }
        shift.table[byte][value] = crc;
      }
    }
  }
};

const Tables tables;

uint64_t load_word(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

#if defined(__x86_64__)
// 64-bit accumulators (upper half zero): cutting them to 32 bits would add a cycle to every step's latency.
NVMFS_CRC_TARGET inline uint64_t step_word(uint64_t crc, uint64_t word) { return _mm_crc32_u64(crc, word); }
NVMFS_CRC_TARGET inline uint32_t step_byte(uint32_t crc, uint8_t byte) { return _mm_crc32_u8(crc, byte); }
#elif defined(__aarch64__)
// Written in assembler, so that the file needs no -march and the rest of it stays baseline code.
inline uint64_t step_word(uint64_t crc, uint64_t word) {
  asm(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
  return crc;
}
inline uint32_t step_byte(uint32_t crc, uint8_t byte) {
  asm(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
  return crc;
}
#endif

#if defined(NVMFS_CRC_TARGET)
// Three streams of `stream` bytes each, joined.
NVMFS_CRC_TARGET inline uint32_t three_streams(uint32_t seed, const uint8_t* bytes, size_t stream,
                                               const ZeroShift& shift) {
  uint64_t first = seed, second = 0, third = 0;
  for (size_t i = 0; i < stream; i += 8) {
    first = step_word(first, load_word(bytes + i));
    second = step_word(second, load_word(bytes + stream + i));
    third = step_word(third, load_word(bytes + 2 * stream + i));
  }
  const uint32_t joined = shift(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
  return shift(joined) ^ static_cast<uint32_t>(third);
}

NVMFS_CRC_TARGET uint32_t crc32c_hardware(uint32_t seed, const uint8_t* bytes, size_t length) {
  uint32_t crc = ~seed;
  for (; length >= 3 * kLongStream; bytes += 3 * kLongStream, length -= 3 * kLongStream) {
    crc = three_streams(crc, bytes, kLongStream, tables.long_shift);
  }
  for (; length >= 3 * kShortStream; bytes += 3 * kShortStream, length -= 3 * kShortStream) {
    crc = three_streams(crc, bytes, kShortStream, tables.short_shift);
  }
  for (; length >= 8; bytes += 8, length -= 8) {
    crc = static_cast<uint32_t>(step_word(crc, load_word(bytes)));
  }
  for (; length > 0; bytes++, length--) crc = step_byte(crc, *bytes);
  return ~crc;
}
#endif

bool has_hardware() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2") != 0;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
  return false;
#endif
}

const bool hardware = has_hardware();

}  // namespace

uint32_t crc32c_portable(uint32_t seed, const uint8_t* bytes, size_t length) {
  uint32_t crc = ~seed;
  const auto& slice = tables.slice;
  for (; length >= 8; bytes += 8, length -= 8) {
    const uint64_t word = load_word(bytes) ^ crc;  // both architectures are little-endian
    crc = slice[7][word & 255] ^ slice[6][(word >> 8) & 255] ^ slice[5][(word >> 16) & 255] ^
          slice[4][(word >> 24) & 255] ^ slice[3][(word >> 32) & 255] ^ slice[2][(word >> 40) & 255] ^
          slice[1][(word >> 48) & 255] ^ slice[0][word >> 56];
  }
  for (; length > 0; bytes++, length--) crc = (crc >> 8) ^ slice[0][(crc ^ *bytes) & 255];
  return ~crc;
}

uint32_t crc32c(uint32_t seed, const uint8_t* bytes, size_t length) {
#if defined(NVMFS_CRC_TARGET)
  if (hardware) return crc32c_hardware(seed, bytes, length);
#endif
  return crc32c_portable(seed, bytes, length);
}

const char* crc32c_implementation() {
#if defined(__x86_64__)
  return hardware ? "sse4.2" : "portable";
#elif defined(__aarch64__)
  return hardware ? "armv8-crc" : "portable";
#else
  return "portable";
#endif
}

}  // namespace nvmfs
