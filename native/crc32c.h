// CRC32C (Castagnoli polynomial, RFC 3720).
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvmfs {

// Continues from `seed`, the result for the bytes before (0 to start).
uint32_t crc32c(uint32_t seed, const uint8_t* bytes, size_t length);
// The same without CPU instructions for it (slicing-by-8).
uint32_t crc32c_portable(uint32_t seed, const uint8_t* bytes, size_t length);
// "sse4.2", "armv8-crc" or "portable".
const char* crc32c_implementation();

}  // namespace nvmfs
