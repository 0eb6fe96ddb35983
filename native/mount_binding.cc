// mountDevice and unmount: called once per mount, so on node-addon-api.
#include <napi.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "bindings.h"
#include "error.h"
#include "mount.h"

namespace nvmfs {

namespace {

Napi::Value mount_directory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    throw_bad_arguments(env, "mountDevice");
    return env.Undefined();
  }
  const Napi::Object object = info[0].As<Napi::Object>();
  MountOptions options;
  options.source = object.Get("source").As<Napi::String>().Utf8Value();
  options.directory = object.Get("directory").As<Napi::String>().Utf8Value();
  options.subtype = object.Get("subtype").As<Napi::String>().Utf8Value();
  options.allow_other = object.Get("allowOther").As<Napi::Boolean>().Value();
  options.default_permissions = object.Get("defaultPermissions").As<Napi::Boolean>().Value();
  options.max_read = object.Get("maxRead").As<Napi::Number>().Uint32Value();
  const Napi::Array flags = object.Get("flags").As<Napi::Array>();
  for (uint32_t i = 0; i < flags.Length(); i++) {
    options.flags.push_back(flags.Get(i).As<Napi::String>().Utf8Value());
  }
  SystemError error;
  const int fd = nvmfs::mount_device(options, error);
  if (fd < 0) {
    throw_error(env, error);
    return env.Undefined();
  }
  return Napi::Number::New(env, fd);
}

// umount2 writes dirty pages back through the daemon, which must go on serving: it runs on a thread of the pool.
class UnmountWorker : public Napi::AsyncWorker {
 public:
  UnmountWorker(Napi::Env env, std::string directory, bool lazy)
      : Napi::AsyncWorker(env, "nvmfs:unmount"),
        deferred_(Napi::Promise::Deferred::New(env)),
        directory_(std::move(directory)),
        lazy_(lazy) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { unmount(directory_, lazy_, error_); }

  void OnOK() override {
    if (error_) {
      deferred_.Reject(make_error(Env(), error_));
    } else {
      deferred_.Resolve(Env().Undefined());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string directory_;
  bool lazy_;
  SystemError error_;
};

Napi::Value unmount_directory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsBoolean()) {
    throw_bad_arguments(env, "unmount");
    return env.Undefined();
  }
  auto* worker =
      new UnmountWorker(env, info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::Boolean>().Value());
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value remount_directory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsArray()) {
    throw_bad_arguments(env, "remount");
    return env.Undefined();
  }
  const Napi::Array array = info[1].As<Napi::Array>();
  std::vector<std::string> flags;
  for (uint32_t i = 0; i < array.Length(); i++) flags.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  SystemError error;
  if (!remount(info[0].As<Napi::String>().Utf8Value(), flags, error)) throw_error(env, error);
  return env.Undefined();
}

// An ioctl without an argument: 0, or a negative errno.
Napi::Value plain_ioctl(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsNumber() || !info[1].IsNumber()) {
    throw_bad_arguments(env, "ioctl");
    return env.Undefined();
  }
  const int result = ioctl(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Uint32Value(), 0);
  return Napi::Number::New(env, result < 0 ? -errno : 0);
}

}  // namespace

void define_mount(Napi::Env env, Napi::Object exports) {
  exports.Set("mountDevice", Napi::Function::New(env, mount_directory, "mountDevice"));
  exports.Set("remount", Napi::Function::New(env, remount_directory, "remount"));
  exports.Set("ioctl", Napi::Function::New(env, plain_ioctl, "ioctl"));
  exports.Set("unmount", Napi::Function::New(env, unmount_directory, "unmount"));
}

}  // namespace nvmfs
