#include "error.h"

#include <cstring>

namespace nvmfs {

namespace {

const char* name_of(int number) {
#if defined(__GLIBC__)
  const char* name = strerrorname_np(number);
  return name != nullptr ? name : "UNKNOWN";
#else
  (void)number;
  return "UNKNOWN";
#endif
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

}  // namespace

SystemError system_error(int number, const std::string& what) {
  return {number, what + ": " + strerror(number)};
}

napi_value make_error(napi_env env, const SystemError& error) {
  napi_value result = nullptr;
  napi_value number = nullptr;
  napi_create_error(env, text(env, name_of(error.number)), text(env, error.message), &result);
  napi_create_int32(env, error.number, &number);
  napi_set_named_property(env, result, "errno", number);
  return result;
}

void throw_error(napi_env env, const SystemError& error) { napi_throw(env, make_error(env, error)); }

void throw_bad_arguments(napi_env env, const char* function) {
  const std::string message = std::string("native ") + function + ": arguments out of range or of the wrong type";
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message.c_str());
}

}  // namespace nvmfs
