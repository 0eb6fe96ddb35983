// openImage, closeImage and what `info` commands ask: called a few times per process, so on node-addon-api.
#include <napi.h>

#include "arguments.h"
#include "bindings.h"
#include "crc32c.h"
#include "image.h"
#include "persist.h"

namespace nvmfs {

namespace {

const char* name_of(Domain domain) {
  switch (domain) {
    case Domain::kSyncDax: return "sync-dax";
    case Domain::kMemory: return "memory";
    case Domain::kFile: return "file";
    case Domain::kAutomatic: break;
  }
  return "";
}

const char* name_of(ImageKind kind) {
  switch (kind) {
    case ImageKind::kRegular: return "regular";
    case ImageKind::kBlock: return "block";
    case ImageKind::kDax: return "dax";
  }
  return "";
}

// Options come from mapped.ts, complete and of the declared types; the ranges are checked here.
bool read_options(const Napi::Object& object, OpenOptions& options) {
  options.path = object.Get("path").As<Napi::String>().Utf8Value();
  options.descriptor = object.Get("descriptor").As<Napi::Number>().Int32Value();
  options.read_only = object.Get("readOnly").As<Napi::Boolean>().Value();
  options.create = object.Get("create").As<Napi::Boolean>().Value();
  const std::string lock = object.Get("lock").As<Napi::String>().Utf8Value();
  options.lock = lock == "none" ? Lock::kNone : lock == "shared" ? Lock::kShared : Lock::kExclusive;
  const std::string domain = object.Get("domain").As<Napi::String>().Utf8Value();
  options.domain = domain == "sync-dax" ? Domain::kSyncDax
                   : domain == "memory" ? Domain::kMemory
                   : domain == "file"   ? Domain::kFile
                                        : Domain::kAutomatic;
  const double size = object.Get("size").As<Napi::Number>().DoubleValue();
  const double window_size = object.Get("windowSize").As<Napi::Number>().DoubleValue();
  const double window_limit = object.Get("windowLimit").As<Napi::Number>().DoubleValue();
  if (!(size >= 0 && size <= 9007199254740992.0)) return false;
  if (!(window_size >= 65536 && window_size <= 1099511627776.0)) return false;
  if (!(window_limit >= 2 && window_limit <= 65536)) return false;
  options.size = static_cast<uint64_t>(size);
  options.window_size = static_cast<uint64_t>(window_size);
  options.window_limit = static_cast<uint32_t>(window_limit);
  return (options.window_size & (options.window_size - 1)) == 0 && options.path.find('\0') == std::string::npos;
}

Napi::Value open_image(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  OpenOptions options;
  if (!info[0].IsObject() || !read_options(info[0].As<Napi::Object>(), options)) {
    throw_bad_arguments(env, "openImage");
    return env.Undefined();
  }
  SystemError error;
  std::unique_ptr<Image> image = Image::open(options, error);
  if (image == nullptr) {
    throw_error(env, error);
    return env.Undefined();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("size", static_cast<double>(image->size()));
  result.Set("domain", name_of(image->domain()));
  result.Set("kind", name_of(image->kind()));
  result.Set("mapSync", image->map_sync());
  result.Set("handle", Napi::External<Image>::New(env, image.release(), [](Napi::Env, Image* owned) { delete owned; }));
  return result;
}

// lockImage(path, readOnly): a descriptor.
Napi::Value lock_image(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  OpenOptions options;
  if (info[0].IsString()) options.path = info[0].As<Napi::String>().Utf8Value();
  if (!info[0].IsString() || !info[1].IsBoolean() || options.path.find('\0') != std::string::npos) {
    throw_bad_arguments(env, "lockImage");
    return env.Undefined();
  }
  options.read_only = info[1].As<Napi::Boolean>().Value();
  options.lock = options.read_only ? Lock::kShared : Lock::kExclusive;
  SystemError error;
  const int fd = Image::lock_descriptor(options, error);
  if (fd < 0) {
    throw_error(env, error);
    return env.Undefined();
  }
  return Napi::Number::New(env, fd);
}

Napi::Value close_image(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsExternal()) {
    throw_bad_arguments(env, "closeImage");
    return env.Undefined();
  }
  SystemError error;
  Image* image = info[0].As<Napi::External<Image>>().Data();
  if (image->is_open() && !image->close(error)) throw_error(env, error);
  return env.Undefined();
}

Napi::Value instructions(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("flush", flush_instruction());
  result.Set("copy", copy_instruction());
  result.Set("crc32c", crc32c_implementation());
  return result;
}

Napi::Value select_baseline(const Napi::CallbackInfo& info) {
  select_baseline_persist(info[0].ToBoolean().Value());
  return info.Env().Undefined();
}

}  // namespace

void define_image(Napi::Env env, Napi::Object exports) {
  exports.Set("openImage", Napi::Function::New(env, open_image, "openImage"));
  exports.Set("lockImage", Napi::Function::New(env, lock_image, "lockImage"));
  exports.Set("closeImage", Napi::Function::New(env, close_image, "closeImage"));
  exports.Set("instructions", Napi::Function::New(env, instructions, "instructions"));
  exports.Set("selectBaseline", Napi::Function::New(env, select_baseline, "selectBaseline"));
}

}  // namespace nvmfs
