// The shared memory segment: called at start and once per window, so on node-addon-api.
#include <napi.h>
#include <sys/mman.h>

#include "bindings.h"
#include "segment.h"

namespace nvmfs {

namespace {

// An integer in [0, 2^53].
bool get(const Napi::Value& value, uint64_t& result) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= 9007199254740992.0)) return false;
  result = static_cast<uint64_t>(number);
  return true;
}

bool get(const Napi::Value& value, int& result) {
  if (!value.IsNumber()) return false;
  result = value.As<Napi::Number>().Int32Value();
  return true;
}

// createSegment(size): its descriptor.
Napi::Value create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uint64_t size;
  if (!get(info[0], size)) {
    throw_bad_arguments(env, "createSegment");
    return env.Undefined();
  }
  SystemError error;
  const int fd = create_segment(size, error);
  if (fd < 0) {
    throw_error(env, error);
    return env.Undefined();
  }
  return Napi::Number::New(env, fd);
}

// mapSegment(fd, offset, length): an ArrayBuffer, unmapped when nobody refers to it any more.
Napi::Value map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  uint64_t offset, length;
  if (!get(info[0], fd) || !get(info[1], offset) || !get(info[2], length) || length == 0 || length > uint64_t{1} << 30) {
    throw_bad_arguments(env, "mapSegment");
    return env.Undefined();
  }
  SystemError error;
  void* base = map_segment(fd, offset, length, error);
  if (base == nullptr) {
    throw_error(env, error);
    return env.Undefined();
  }
  return Napi::ArrayBuffer::New(env, base, length, [length](Napi::Env, void* data) { munmap(data, length); });
}

// nextSegmentData(fd, from): an offset, or -1.
Napi::Value next_data(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  uint64_t from;
  if (!get(info[0], fd) || !get(info[1], from)) {
    throw_bad_arguments(env, "nextSegmentData");
    return env.Undefined();
  }
  SystemError error;
  const int64_t found = next_segment_data(fd, from, error);
  if (error) {
    throw_error(env, error);
    return env.Undefined();
  }
  return Napi::Number::New(env, static_cast<double>(found));
}

// punchSegment(fd, offset, length)
Napi::Value punch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd;
  uint64_t offset, length;
  if (!get(info[0], fd) || !get(info[1], offset) || !get(info[2], length)) {
    throw_bad_arguments(env, "punchSegment");
    return env.Undefined();
  }
  SystemError error;
  if (!punch_segment(fd, offset, length, error)) throw_error(env, error);
  return env.Undefined();
}

}  // namespace

void define_segment(Napi::Env env, Napi::Object exports) {
  exports.Set("createSegment", Napi::Function::New(env, create, "createSegment"));
  exports.Set("mapSegment", Napi::Function::New(env, map, "mapSegment"));
  exports.Set("nextSegmentData", Napi::Function::New(env, next_data, "nextSegmentData"));
  exports.Set("punchSegment", Napi::Function::New(env, punch, "punchSegment"));
}

}  // namespace nvmfs
