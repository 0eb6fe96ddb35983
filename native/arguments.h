// Reading the arguments of hot calls straight from Node-API: no allocation, no wrapper objects.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace nvmfs {

class Image;

struct Bytes {
  uint8_t* data = nullptr;
  size_t length = 0;

  bool contains(uint64_t offset, uint64_t count) const { return count <= length && offset <= length - count; }
};

// The first N arguments of a call; missing ones are `undefined` and fail the conversions below.
template <size_t N>
struct Arguments {
  napi_env env;
  napi_value value[N];

  Arguments(napi_env environment, napi_callback_info info) : env(environment) {
    size_t count = N;
    napi_get_cb_info(env, info, &count, value, nullptr, nullptr);
  }

  // An integer in [0, 2^53].
  bool get(size_t index, uint64_t& result) const {
    double number;
    if (napi_get_value_double(env, value[index], &number) != napi_ok) return false;
    if (!(number >= 0 && number <= 9007199254740992.0)) return false;
    result = static_cast<uint64_t>(number);
    return true;
  }

  bool get(size_t index, int32_t& result) const {
    return napi_get_value_int32(env, value[index], &result) == napi_ok;
  }

  // A Uint8Array (or Buffer).
  bool get(size_t index, Bytes& result) const {
    napi_typedarray_type type;
    void* data = nullptr;
    const napi_status status =
        napi_get_typedarray_info(env, value[index], &type, &result.length, &data, nullptr, nullptr);
    result.data = static_cast<uint8_t*>(data);
    return status == napi_ok && type == napi_uint8_array;
  }

  // A Float64Array; length in elements.
  bool get(size_t index, const double*& data, size_t& length) const {
    napi_typedarray_type type;
    void* memory = nullptr;
    const napi_status status = napi_get_typedarray_info(env, value[index], &type, &length, &memory, nullptr, nullptr);
    data = static_cast<const double*>(memory);
    return status == napi_ok && type == napi_float64_array;
  }

  // The handle of an image, open or closed.
  bool get(size_t index, Image*& result) const {
    void* data = nullptr;
    if (napi_get_value_external(env, value[index], &data) != napi_ok) return false;
    result = static_cast<Image*>(data);
    return result != nullptr;
  }
};

inline napi_value int32_value(napi_env env, int32_t number) {
  napi_value result = nullptr;
  napi_create_int32(env, number, &result);
  return result;
}

inline napi_value uint32_value(napi_env env, uint32_t number) {
  napi_value result = nullptr;
  napi_create_uint32(env, number, &result);
  return result;
}

// Adds a function implemented on raw Node-API to an object.
inline void define(napi_env env, napi_value object, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, object, name, function);
}

}  // namespace nvmfs
