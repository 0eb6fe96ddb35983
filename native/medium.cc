// The hot calls of Pmem: load, store, zero, copy, persist, fence, back, crc32c, difference. Raw Node-API.
#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "bindings.h"
#include "crc32c.h"
#include "fault.h"
#include "image.h"
#include "persist.h"

namespace nvmfs {

namespace {

constexpr size_t kBlock = 4096;

// The upper half of the last difference(), in memory that JavaScript sees as a Uint32Array of one element: a call
// returns a number, and 64 bits do not fit.
struct DifferenceHigh {
  uint32_t* value = nullptr;
};

// A fault is an affair of whole pages, and which byte of a page is touched first is the compiler's choice.
std::string bad_page(uint64_t address) {
  return "the medium cannot deliver the page at address " + std::to_string(address & ~uint64_t{kBlock - 1});
}

void throw_access_error(napi_env env, const char* operation, const Image& image, uint64_t address, uint64_t length,
                        const std::string& reason) {
  throw_error(env, {EIO, std::string(operation) + " of " + std::to_string(length) + " bytes at address " +
                             std::to_string(address) + " of " + image.path() + " failed: " + reason});
}

// Refuses what must not reach the mapping: a closed image, a range outside of it, a store to a read-only one.
bool admits(napi_env env, const char* operation, const Image& image, uint64_t address, uint64_t length, bool changes) {
  if (!image.is_open()) {
    throw_error(env, {EBADF, std::string(operation) + ": the image " + image.path() + " is closed"});
    return false;
  }
  if (!image.contains(address, length)) {
    throw_bad_arguments(env, operation);
    return false;
  }
  if (changes && image.read_only()) {
    throw_error(env, {EROFS, std::string(operation) + ": " + image.path() + " is open read-only"});
    return false;
  }
  return true;
}

// Calls body(mapped bytes, count, offset from `address`) for each piece of the range that is contiguous in the
// mapping, guarded against faults. Throws into JavaScript and returns false on failure.
template <typename Body>
bool for_each_piece(napi_env env, const char* operation, Image& image, uint64_t address, uint64_t length,
                    const Body& body) {
  uint64_t done = 0;
  while (done < length) {
    uint64_t count = 0;
    uint8_t* mapped = image.at(address + done, &count);
    if (mapped == nullptr) {
      throw_access_error(env, operation, image, address, length, std::string("cannot map it: ") + strerror(errno));
      return false;
    }
    if (count > length - done) count = length - done;
    FaultGuard guard;
    guard.begin[0] = guard.begin[1] = mapped;
    guard.end[0] = guard.end[1] = mapped + count;
    if (!guarded(guard, [&] { body(mapped, count, done); })) {
      const uint64_t bad = address + done + static_cast<uint64_t>(guard.fault - mapped);
      throw_access_error(env, operation, image, address, length, bad_page(bad));
      return false;
    }
    done += count;
  }
  return true;
}

napi_value load(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  Image* image;
  Bytes target;
  uint64_t address, offset, length;
  if (!arguments.get(0, image) || !arguments.get(1, address) || !arguments.get(2, target) ||
      !arguments.get(3, offset) || !arguments.get(4, length) || !target.contains(offset, length)) {
    throw_bad_arguments(env, "load");
    return nullptr;
  }
  if (!admits(env, "load", *image, address, length, false)) return nullptr;
  uint8_t* out = target.data + offset;
  for_each_piece(env, "load", *image, address, length,
                 [out](const uint8_t* mapped, uint64_t count, uint64_t done) { memcpy(out + done, mapped, count); });
  return nullptr;
}

napi_value store(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  Image* image;
  Bytes source;
  uint64_t address, offset, length;
  if (!arguments.get(0, image) || !arguments.get(1, address) || !arguments.get(2, source) ||
      !arguments.get(3, offset) || !arguments.get(4, length) || !source.contains(offset, length)) {
    throw_bad_arguments(env, "store");
    return nullptr;
  }
  if (!admits(env, "store", *image, address, length, true)) return nullptr;
  image->touched(address, length);
  const uint8_t* in = source.data + offset;
  for_each_piece(env, "store", *image, address, length,
                 [in](uint8_t* mapped, uint64_t count, uint64_t done) { store_bytes(mapped, in + done, count); });
  return nullptr;
}

napi_value zero(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Image* image;
  uint64_t address, length;
  if (!arguments.get(0, image) || !arguments.get(1, address) || !arguments.get(2, length)) {
    throw_bad_arguments(env, "zero");
    return nullptr;
  }
  if (!admits(env, "zero", *image, address, length, true)) return nullptr;
  image->touched(address, length);
  for_each_piece(env, "zero", *image, address, length,
                 [](uint8_t* mapped, uint64_t count, uint64_t) { store_zeros(mapped, count); });
  return nullptr;
}

napi_value persist(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Image* image;
  uint64_t address, length;
  if (!arguments.get(0, image) || !arguments.get(1, address) || !arguments.get(2, length)) {
    throw_bad_arguments(env, "persist");
    return nullptr;
  }
  if (!admits(env, "persist", *image, address, length, true)) return nullptr;
  image->touched(address, length);
  for_each_piece(env, "persist", *image, address, length,
                 [](const uint8_t* mapped, uint64_t count, uint64_t) { flush_range(mapped, count); });
  return nullptr;
}

// Copies one piece whose both ends are contiguous in the mapping.
bool copy_piece(napi_env env, Image& image, uint64_t to, uint64_t from, uint8_t* target, const uint8_t* source,
                uint64_t count) {
  FaultGuard guard;
  guard.begin[0] = target;
  guard.end[0] = target + count;
  guard.begin[1] = source;
  guard.end[1] = source + count;
  if (guarded(guard, [=] { store_bytes(target, source, count); })) return true;
  const uint8_t* fault = guard.fault;
  const bool in_source = fault >= source && fault < source + count;
  const uint64_t bad =
      in_source ? from + static_cast<uint64_t>(fault - source) : to + static_cast<uint64_t>(fault - target);
  throw_access_error(env, "copy", image, to, count, bad_page(bad));
  return false;
}

napi_value copy(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Image* image;
  uint64_t to, from, length;
  if (!arguments.get(0, image) || !arguments.get(1, to) || !arguments.get(2, from) || !arguments.get(3, length) ||
      (to < from + length && from < to + length && length > 0)) {
    throw_bad_arguments(env, "copy");
    return nullptr;
  }
  if (!admits(env, "copy", *image, to, length, true) || !admits(env, "copy", *image, from, length, true)) {
    return nullptr;
  }
  image->touched(to, length);
  while (length > 0) {
    // At least two windows are mapped at a time, so the second at() leaves the first's window in place.
    uint64_t target_count = 0, source_count = 0;
    uint8_t* target = image->at(to, &target_count);
    const uint8_t* source = target == nullptr ? nullptr : image->at(from, &source_count);
    if (source == nullptr) {
      throw_access_error(env, "copy", *image, to, length, std::string("cannot map it: ") + strerror(errno));
      return nullptr;
    }
    uint64_t count = target_count < source_count ? target_count : source_count;
    if (count > length) count = length;
    if (!copy_piece(env, *image, to, from, target, source, count)) return nullptr;
    to += count;
    from += count;
    length -= count;
  }
  return nullptr;
}

napi_value fence(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Image* image;
  if (!arguments.get(0, image)) {
    throw_bad_arguments(env, "fence");
    return nullptr;
  }
  SystemError error;
  if (admits(env, "fence", *image, 0, 0, false) && !image->fence(error)) throw_error(env, error);
  return nullptr;
}

napi_value back(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Image* image;
  uint64_t address, length;
  if (!arguments.get(0, image) || !arguments.get(1, address) || !arguments.get(2, length)) {
    throw_bad_arguments(env, "back");
    return nullptr;
  }
  SystemError error;
  if (admits(env, "back", *image, address, length, true) && !image->back(address, length, error)) {
    throw_error(env, error);
  }
  return nullptr;
}

template <uint32_t (*implementation)(uint32_t, const uint8_t*, size_t)>
napi_value checksum(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  uint64_t seed, offset, length;
  Bytes bytes;
  if (!arguments.get(0, seed) || seed > UINT32_MAX || !arguments.get(1, bytes) || !arguments.get(2, offset) ||
      !arguments.get(3, length) || !bytes.contains(offset, length)) {
    throw_bad_arguments(env, "crc32c");
    return nullptr;
  }
  return uint32_value(env, implementation(static_cast<uint32_t>(seed), bytes.data + offset, length));
}

// difference(bytes, offsetA, offsetB): offsets in bytes.
napi_value difference(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Bytes bytes;
  uint64_t a, b;
  void* data = nullptr;
  if (!arguments.get(0, bytes) || !arguments.get(1, a) || !arguments.get(2, b) || !bytes.contains(a, kBlock) ||
      !bytes.contains(b, kBlock) || napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) {
    throw_bad_arguments(env, "difference");
    return nullptr;
  }
  const uint64_t lines = differing_lines(bytes.data + a, bytes.data + b);
  *static_cast<DifferenceHigh*>(data)->value = static_cast<uint32_t>(lines >> 32);
  return uint32_value(env, static_cast<uint32_t>(lines));
}

// The array and the function that fills it live as long as the environment does.
void define_difference(Napi::Env env, Napi::Object exports) {
  auto* high = new DifferenceHigh;
  Napi::Uint32Array array = Napi::Uint32Array::New(env, 1);
  high->value = array.Data();
  env.AddCleanupHook([high] { delete high; });
  napi_ref keep = nullptr;
  napi_create_reference(env, array, 1, &keep);
  napi_value function = nullptr;
  napi_create_function(env, "difference", NAPI_AUTO_LENGTH, difference, high, &function);
  exports.Set("difference", Napi::Value(env, function));
  exports.Set("differenceHigh", array);
}

}  // namespace

void define_medium(Napi::Env env, Napi::Object exports) {
  define(env, exports, "load", load);
  define(env, exports, "store", store);
  define(env, exports, "zero", zero);
  define(env, exports, "copy", copy);
  define(env, exports, "persist", persist);
  define(env, exports, "fence", fence);
  define(env, exports, "back", back);
  define(env, exports, "crc32c", checksum<crc32c>);
  define(env, exports, "crc32cPortable", checksum<crc32c_portable>);
  define_difference(env, exports);
}

}  // namespace nvmfs
