// libnvm for Node programs: files mapped from the medium, as ArrayBuffers. Called once per mapping, but for nvmSync; so on node-addon-api.
#include <napi.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <string>

#include "arguments.h"
#include "bindings.h"
#include "error.h"
#include "libnvm/nvm.h"

namespace nvmfs {

namespace {

// What a buffer and a handle share; unmapped by whoever comes first.
struct View {
  void* address;
  size_t length;

  void unmap() {
    if (address != nullptr) nvm_unmap(address, length);
    address = nullptr;
  }
  ~View() { unmap(); }
};
using SharedView = std::shared_ptr<View>;

void throw_nvm(Napi::Env env) {
  const int number = errno;
  throw_error(env, {number, nvm_error()[0] == 0 ? system_error(number, "libnvm").message : std::string(nvm_error())});
}

Napi::Value describe(Napi::Env env, void* address, size_t length) {
  auto* shared = new SharedView(new View{address, length});
  auto* second = new SharedView(*shared);
  Napi::Object result = Napi::Object::New(env);
  result.Set("direct", nvm_is_direct(address, length) == 1);
  result.Set("sync", nvm_is_sync(address, length) == 1);
  result.Set("buffer", Napi::ArrayBuffer::New(env, address, length, [shared](Napi::Env, void*) {
    (*shared)->unmap();
    delete shared;
  }));
  result.Set("handle", Napi::External<SharedView>::New(env, second, [](Napi::Env, SharedView* view) { delete view; }));
  return result;
}

// nvmMap(fd, offset, length, writable, flags)
Napi::Value map(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  for (size_t i = 0; i < 5; i++) {
    if (i == 3 ? !info[i].IsBoolean() : !info[i].IsNumber()) {
      throw_bad_arguments(env, "nvmMap");
      return env.Undefined();
    }
  }
  const int prot = info[3].As<Napi::Boolean>().Value() ? PROT_READ | PROT_WRITE : PROT_READ;
  const size_t length = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  void* address = nvm_map(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Int64Value(), length, prot,
                          info[4].As<Napi::Number>().Int32Value());
  if (address != NVM_FAILED) return describe(env, address, length);
  throw_nvm(env);
  return env.Undefined();
}

// nvmAttach(name, writable)
Napi::Value attach(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsBoolean()) {
    throw_bad_arguments(env, "nvmAttach");
    return env.Undefined();
  }
  const int prot = info[1].As<Napi::Boolean>().Value() ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = nvm_attach(info[0].As<Napi::String>().Utf8Value().c_str(), prot);
  if (address != NVM_FAILED) return describe(env, address, nvm_size(address));
  throw_nvm(env);
  return env.Undefined();
}

// nvmSync(handle, offset, length)
napi_value sync(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  void* data = nullptr;
  uint64_t offset, length;
  if (napi_get_value_external(env, arguments.value[0], &data) != napi_ok || !arguments.get(1, offset) || !arguments.get(2, length)) {
    throw_bad_arguments(env, "nvmSync");
    return nullptr;
  }
  const View& view = **static_cast<SharedView*>(data);
  if (view.address == nullptr) {
    throw_error(env, system_error(EBADF, "the file is not mapped any more"));
  } else if (offset > view.length || length > view.length - offset) {
    throw_bad_arguments(env, "nvmSync");
  } else if (length > 0 && nvm_sync(-1, static_cast<uint8_t*>(view.address) + offset, length) != 0) {
    throw_nvm(env);
  }
  return nullptr;
}

// nvmUnmap(handle, buffer)
Napi::Value unmap(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsExternal() || !info[1].IsArrayBuffer()) {
    throw_bad_arguments(env, "nvmUnmap");
    return env.Undefined();
  }
  // Nobody may touch what is not there any more.
  Napi::ArrayBuffer buffer = info[1].As<Napi::ArrayBuffer>();
  if (!buffer.IsDetached()) buffer.Detach();
  (*info[0].As<Napi::External<SharedView>>().Data())->unmap();
  return env.Undefined();
}

}  // namespace

void define_nvm(Napi::Env env, Napi::Object exports) {
  exports.Set("nvmMap", Napi::Function::New(env, map, "nvmMap"));
  exports.Set("nvmAttach", Napi::Function::New(env, attach, "nvmAttach"));
  exports.Set("nvmUnmap", Napi::Function::New(env, unmap, "nvmUnmap"));
  napi_value function;
  if (napi_create_function(env, "nvmSync", NAPI_AUTO_LENGTH, sync, nullptr, &function) == napi_ok) exports.Set("nvmSync", Napi::Value(env, function));
}

}  // namespace nvmfs
