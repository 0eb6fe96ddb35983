#include <napi.h>

#include "bindings.h"

namespace {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  nvmfs::define_image(env, exports);
  nvmfs::define_medium(env, exports);
  nvmfs::define_device(env, exports);
  nvmfs::define_mount(env, exports);
  nvmfs::define_segment(env, exports);
  nvmfs::define_orders(env, exports);
  nvmfs::define_region(env, exports);
  nvmfs::define_interrupt(env, exports);
  nvmfs::define_nvm(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(nvmfs, initialize)
